"""The stages `tables` and `inspect` on archives whose names were written by other programs."""

import io
import json
import unicodedata
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.archives.zip_archive import write_archive
from tests.support.stages import run_stage
from tests.support.tiny_project import tiny_params, write_params

FILE_NAMES = {"train": ["/home/me/Köln.jpg", "b.jpg"], "val": ["c.jpg", "gone.jpg"]}
MEMBERS = {
    "train": [unicodedata.normalize("NFD", "train2017\\Köln.jpg"), "train2017\\B.JPG"],
    "val": ["val2017/C.jpg", "notes.txt", "val2017/gones.jpg"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder data/coco of a project with a download."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, tiny_params())
    download = Path("data/coco/download")
    annotations = []
    for split, file_names in FILE_NAMES.items():
        images = [
            {"id": number, "file_name": name, "width": 20, "height": 10} for number, name in enumerate(file_names, 1)
        ]
        content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
        annotations.append((f"annotations\\instances_{split}2017.json", json.dumps(content).encode()))
        write_archive(download / f"zips/{split}2017.zip", [(name, picture()) for name in MEMBERS[split]])
    write_archive(download / "annotations/annotations_trainval2017.zip", annotations)
    return Path("data/coco")


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (20, 10)).save(buffer, "PNG")
    return buffer.getvalue()


def test_tables_have_the_names_of_the_archives(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run_stage("tables", "coco")
        run_stage("inspect", "coco")
    images = pq.read_table(folder / "tables/images.parquet")
    assert images["file_name"].to_pylist() == [*FILE_NAMES["train"], *FILE_NAMES["val"]]
    assert images["member"].to_pylist() == [*MEMBERS["train"], "val2017/C.jpg", "val2017/gone.jpg"]
    problems = pq.read_table(folder / "inspect/files.parquet")["problem"].to_pylist()
    assert problems == [None, None, None, "not in its archive; the nearest name is 'val2017/gones.jpg'"]
    assert pq.read_table(folder / "inspect/archives.parquet").to_pylist() == [
        {"archive": "zips/train2017.zip", "files": 2, "unused": 0, "first_unused": ""},
        {"archive": "zips/val2017.zip", "files": 2, "unused": 1, "first_unused": "'val2017/gones.jpg'"},
    ]
    assert "found 3 images under another name than published" in caplog.messages
    assert "inspected 4 images of coco, 1 with a problem; 1 image file in the archives without a row" in caplog.messages
