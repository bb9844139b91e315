"""boxline export, read by pycocotools."""

import json
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from pipeline.archives.zip_archive import write_archive
from tests.support.commands import exit_code_of, run_command
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
        (folder, f"OUT is {folder}, a folder; expected a file. Name one in it: {folder}/NAME"),
        (images / "x.json", f"OUT is {images}/x.json, but {images} is not a folder. Name a file in a folder."),
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


@pytest.mark.parametrize(
    ("name", "files"),
    [
        (
            "yolo",
            [
                "data.yaml",
                "labels/train/000000000003.txt",
                "labels/val/000000000007.txt",
                "labels/val/000000000009.txt",
            ],
        ),
        (
            "voc",
            [
                *(f"Annotations/{number:012d}.xml" for number in (3, 7, 9)),
                *("ImageSets/Main/train.txt", "ImageSets/Main/val.txt"),
            ],
        ),
    ],
)
def test_folder_of_all_splits_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, files: list[str]
) -> None:
    out = folder.parent / "out"
    out.mkdir()
    code, lines = run_command(monkeypatch, caplog, "export", folder, out, "--format", name)
    assert (code, lines) == (0, [f"wrote 3 images and 2 boxes to {out}; left out 1 crowd region"])
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == files


def test_one_split_is_written_with_its_images(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    download, out = folder.parent / "download", folder.parent / "new" / "out"
    write_archive(download / "zips" / "train2017.zip", [("train2017/000000000003.jpg", b"as it is")])
    words = ("export", folder, out, "--format", "yolo", "--split", "train", "--images", download)
    assert run_command(monkeypatch, caplog, *words) == (0, [f"wrote 1 images and 1 boxes to {out}"])
    assert (out / "images" / "train" / "000000000003.jpg").read_bytes() == b"as it is"
    assert sorted(path.name for path in out.rglob("*.*")) == ["000000000003.jpg", "000000000003.txt", "data.yaml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--images", "x"),
            "--images: a file of COCO holds no images. Omit it, or choose --format yolo or voc.",
        ),
        (
            ("--format", "voc", "--split", "test"),
            "{folder} holds no images of split 'test'; expected --split val, train.",
        ),
        (
            ("--format", "yolo", "--images", "nowhere"),
            "nowhere/zips/train2017.zip not found. `dvc repro` downloads it.",
        ),
    ],
)
def test_nothing_is_written_after_an_error(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    words: tuple[str, ...],
    message: str,
) -> None:
    assert run_command(monkeypatch, caplog, "export", folder, folder.parent / "out", *words) == (
        1,
        [f"Error: {message.format(folder=folder)}"],
    )
    assert [path.name for path in folder.parent.iterdir()] == ["tables"]


def test_folder_with_files_is_not_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = sorted(folder.iterdir())
    words = ("export", folder, folder, "--format", "voc")
    message = f"Error: OUT is {folder}, a folder with files; expected a new or empty one. Name another folder."
    assert run_command(monkeypatch, caplog, *words) == (1, [message])
    file = folder / "images.parquet"
    message = f"Error: OUT is {file}/data.yaml, but {file} is not a folder. Name a file in a folder."
    assert run_command(monkeypatch, caplog, "export", folder, file, "--format", "voc") == (1, [message])
    assert sorted(folder.iterdir()) == before
