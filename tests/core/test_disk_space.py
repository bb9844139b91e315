"""Disk space told and checked before a stage writes."""

import logging
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.disk_space import MIN_LOGGED_BYTES, require_disk_space
from pipeline.core.errors import BoxlineError


def messages(caplog: pytest.LogCaptureFixture, needed_bytes: int, free_bytes: int) -> list[str]:
    caplog.clear()
    with pytest.MonkeyPatch.context() as patches, caplog.at_level(logging.INFO, "pipeline"):
        patches.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, free_bytes))
        require_disk_space(Path("data/coco/pack"), needed_bytes, "Free some.")
    return caplog.messages


def test_need_and_free_space_are_told_with_the_copy_of_the_cache(caplog: pytest.LogCaptureFixture) -> None:
    told = (
        "data/coco/pack: 74,000,000,000 more bytes are needed, and as many for the copy in DVC's cache, unless it has "
        "reflinks; {} bytes are free on the disk"
    )
    assert messages(caplog, 74 * 10**9, 148 * 10**9) == [told.format("148,000,000,000")]
    assert messages(caplog, 74 * 10**9, 148 * 10**9 - 1) == [
        told.format("147,999,999,999"),
        "data/coco/pack: the copy in DVC's cache will not fit. See docs/operations.md, Disk space.",
    ]
    assert messages(caplog, MIN_LOGGED_BYTES - 1, MIN_LOGGED_BYTES) == []


def test_what_cannot_fit_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BoxlineError) as raised:
        messages(caplog, 3_000, 2_999)
    assert str(raised.value) == (
        "data/coco/pack: 3,000 more bytes are needed, but only 2,999 bytes are free on the disk. Free some."
    )


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_exactly_what_does_not_fit_is_refused(needed_bytes: int, free_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**15, 0, free_bytes))
        try:
            require_disk_space(Path(), needed_bytes, "")
        except BoxlineError:
            assert needed_bytes > free_bytes
        else:
            assert needed_bytes <= free_bytes
