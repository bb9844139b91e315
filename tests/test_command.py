import logging
import sys
from pathlib import Path

import pytest

from pipeline.command import run_stage
from pipeline.errors import BoxlineError


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tables", "coco", "--download", "in", "--out", "some/out"])


def test_a_stage_gets_its_words() -> None:
    calls = []

    def stage(dataset: str, download: Path, out: Path) -> None:
        calls.append((dataset, download, out))

    run_stage(stage, "dataset", ["download", "out"])
    assert calls == [("coco", Path("in"), Path("some/out"))]


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (BoxlineError("a.csv, line 3: no."), 1, "Error: a.csv, line 3: no."),
        (
            KeyboardInterrupt(),
            130,
            "Interrupted. No output was left half-written; the same command starts again, or goes on where it can.",
        ),
    ],
)
def test_what_a_user_can_put_right_is_one_line(
    raised: BaseException, code: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    def stage(**_: object) -> None:
        raise raised

    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as ended:
        run_stage(stage, "dataset", ["download", "out"])
    assert ended.value.code == code
    assert caplog.messages == [line]
    assert caplog.records[0].exc_info is None


def test_a_bug_keeps_its_traceback() -> None:
    def stage(**_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stage(stage, "dataset", ["download", "out"])
