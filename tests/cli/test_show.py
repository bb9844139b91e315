"""boxline show: rows as text, and a drawn image."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.archives.zip_archive import write_archive
from pipeline.cli.show import show
from pipeline.core.errors import BoxlineError
from tests.support.scenes import box, image, tables
from tests.support.tiny_project import tiny_params, write_params

BOXES = [
    box(1, 7, 5, (60, 40, 400, 300.25)),
    box(2, 7, 2, (0, 0, 20, 10), is_crowd=True),
    box(1, 3, 9, (1, 2, 3, 4), split="train"),
]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, tiny_params())
    images = [image(3, "train", 100, 80), image(7), image(9)]
    tables(images, BOXES).write(Path("data/coco/tables"))
    buffer = io.BytesIO()
    Image.new("RGB", (640, 427), (90, 90, 90)).save(buffer, "PNG")
    write_archive(Path("data/coco/download/zips/val2017.zip"), [("val2017/000000000007.jpg", buffer.getvalue())])
    return tmp_path


def test_images_are_printed_with_their_boxes_and_class_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("coco", rows=2) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "image_id split file_name size box_id category x y width height area crowd"
    assert lines[2:] == [
        "3 train 000000000003.jpg 100 x 80 1 unknown id 9 1 2 3 4 12",
        "7 val 000000000007.jpg 640 x 427 1 dog 60 40 400 300.25 120100",
        "7 val 000000000007.jpg 640 x 427 2 cat 0 0 20 10 200 crowd",
        "2 of 3 images; --rows shows more.",
    ]


def test_one_split_or_one_image_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert show("coco", split="train") == show("coco", image="000000000009.jpg") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line[0].isdigit()] == [
        "3 train 000000000003.jpg 100 x 80 1 unknown id 9 1 2 3 4 12",
        "9 val 000000000009.jpg 640 x 427",
    ]


def test_image_is_drawn_with_its_boxes() -> None:
    assert show("coco", image="000000000007.jpg", out=Path("new/drawn.png")) == 0
    with Image.open("new/drawn.png") as drawn:
        pixels = np.asarray(drawn.convert("RGB"))
    assert pixels.shape == (427, 640, 3)
    is_edge = (pixels != 90).any(axis=2)
    assert is_edge[100:300, 58:63].any(axis=1).all()  # the left edge of the first box
    assert is_edge[100:300, 458:463].any(axis=1).all()
    assert not is_edge[100:300, 200:400].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "vall"}, "--split: received 'vall', expected one of train, val."),
        (
            {"image": "00000000007.jpg"},
            "--image: no image has the file name '00000000007.jpg'. The nearest name is '000000000007.jpg'.",
        ),
        ({"rows": 0}, "--rows: received 0, expected 1 or more."),
        ({"out": Path("a.gif")}, "--out is a.gif, expected a name that ends with .png or .jpg."),
    ],
)
def test_wrong_argument_is_reported(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        show("coco", **arguments)  # type: ignore[arg-type]
    assert str(raised.value) == message


def test_dataset_without_tables_is_reported() -> None:
    with pytest.raises(BoxlineError) as raised:
        show("digits")
    assert str(raised.value) == "data/digits/tables not found. `dvc repro tables@digits` builds it."
