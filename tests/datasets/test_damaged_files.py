"""Readers of corrupt files return tables that match the schema, or raise BoxlineError with one sentence."""

import io
import shutil
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.zip_archive import write_archive
from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables
from pipeline.datasets.registry import get_dataset
from pipeline.validation.inspection import inspect_images
from tests.support.scenes import image

edits = st.lists(
    st.tuples(
        st.floats(0, 1),  # position
        st.integers(0, 3),  # number of removed bytes
        st.binary(max_size=3) | st.sampled_from([b"\x00", b",", b"\n", b'"', b"-1", b"1e999", b"nan", b"\xff", b"../"]),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for place, gone, put in changes:
        start = int(place * len(content))
        content = content[:start] + put + content[start + gone :]
    return content


def read_or_fail(name: str, folder: Path) -> None:
    try:
        tables = get_dataset(name).table_reader().read(folder)
    except BoxlineError as error:
        message = str(error)
    else:
        tables.write(folder / "tables")
        stored = Tables.read(folder / "tables", with_outlines=True).boxes
        # As text, because NaN, which stands for an unreadable number, differs from itself.
        assert str(stored.select(tables.boxes.column_names).to_pylist()) == str(tables.boxes.to_pylist())
        return
    assert str(folder) in message  # names the file
    assert "\n" not in message


@settings(max_examples=60)
@given(st.data())
def test_damaged_annotations_are_read_or_rejected(sample: tuple[str, Path], data: st.DataObject) -> None:
    name, folder = sample
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(shutil.copytree(folder, Path(temporary) / "copy"))
        texts = sorted(copy.rglob("*.csv"))
        if texts:
            path = data.draw(st.sampled_from(texts))
            path.write_bytes(damaged(path.read_bytes(), data.draw(edits)))
        else:
            path = copy / {"coco": "annotations/annotations_trainval2017.zip", "snacks": "snacks.zip"}[name]
            with zipfile.ZipFile(path) as archive:
                members = {member: archive.read(member) for member in archive.namelist()}
            chosen = data.draw(st.sampled_from([member for member in members if not member.endswith(".jpg")]))
            members[chosen] = damaged(members[chosen], data.draw(edits))
            write_archive(path, members.items())
        read_or_fail(name, copy)


@settings(max_examples=60)
@given(st.data())
def test_damaged_archives_are_read_or_rejected(sample: tuple[str, Path], data: st.DataObject) -> None:
    name, folder = sample
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(shutil.copytree(folder, Path(temporary) / "copy"))
        path = data.draw(st.sampled_from(sorted(copy.rglob("*.zip"))))
        content = path.read_bytes()
        # The central directory is at the end; half of the changes are in it.
        changes = [
            (1 - (1 - place) / 20 if data.draw(st.booleans()) else place, gone, put)
            for place, gone, put in data.draw(edits)
        ]
        path.write_bytes(damaged(content, changes))
        read_or_fail(name, copy)


def encoded(kind: str) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 255, (24, 36, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]), edits)
def test_damaged_images_have_a_thumbnail_or_a_problem(kind: str, changes: list[tuple[float, int, bytes]]) -> None:
    """Any bytes give a row with a thumbnail or a problem."""
    rows = pa.Table.from_pylist([{**image(7), "member": "a"}], schema.IMAGES)
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(1) as executor:
        write_archive(Path(temporary) / "zips" / "val2017.zip", [("a", damaged(encoded(kind), changes))])
        [row] = inspect_images(rows, ArchiveFolder(Path(temporary)), executor).to_pylist()
    assert row["sha256"] is not None
    assert (row["problem"] is None) == (row["thumbnail"] is not None)
    assert row["problem"] is None or "does not decode (" in row["problem"]
