"""boxline export, read by pycocotools."""

import json
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from tests.support.commands import exit_code_of
from tests.support.scenes import box, image, tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    given = tables(
        [image(7), image(3, "train", width=100, height=80), image(9)],
        [
            box(4, 3, 5, (0, 0, 100, 80)),
            box(1, 7, 5, (10.5, 20, 30, 40.25)) | {"outline": "[[10.5, 20, 40.5, 20, 20, 60.25]]"},
            box(9, 7, 2, (600, 400, 40, 27), is_crowd=True),
        ],
    )
    given.write(tmp_path / "tables")
    return tmp_path / "tables"


def test_pycocotools_reads_exported_split(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = folder / "val.json"
    with caplog.at_level("INFO"):
        assert exit_code_of(monkeypatch, "export", folder, out, "--split", "val") == 0
    assert caplog.messages == [f"wrote 2 images and 2 boxes to {out}"]
    coco = COCO(str(out))
    assert coco.getImgIds() == [7, 9]
    assert coco.loadAnns(coco.getAnnIds(iscrowd=False)) == [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 5,
            "bbox": [10.5, 20, 30, 40.25],
            "area": 30 * 40.25,
            "iscrowd": 0,
            "segmentation": [[10.5, 20, 40.5, 20, 20, 60.25]],
        }
    ]
    assert coco.loadAnns(9)[0]["iscrowd"] == 1
    coco.info()  # some versions need the keys `info` and `licenses` for this and for results
    coco.loadRes([{"image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4], "score": 0.5}])
    assert [c["name"] for c in json.loads(out.read_text())["categories"]] == ["cat", "dog"]


def test_unwritable_file_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    images = folder / "images.parquet"
    before = images.read_bytes()
    for out, message in (
        (folder, f"FILE is {folder}, a folder; expected a file. Name one in it: {folder}/NAME"),
        (images / "x.json", f"FILE is {images}/x.json, but {images} is not a folder. Name a file in a folder."),
    ):
        caplog.clear()
        assert exit_code_of(monkeypatch, "export", folder, out, "--split", "val") == 1
        assert caplog.messages == [f"Error: {message}"]
    assert images.read_bytes() == before


def test_missing_split_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert exit_code_of(monkeypatch, "export", folder, folder / "out.json", "--split", "test") == 1
    assert caplog.messages == [f"Error: {folder} holds no images of split 'test'; expected --split val, train."]
    assert not (folder / "out.json").exists()
