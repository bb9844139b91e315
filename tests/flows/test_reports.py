"""What the page of a run shows, as values."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from flows.reports import MAX_PICTURE_SIDE, _as_address, metric_rows, tags_of

METRICS = {"AP": 0.31, "baseline_AP": 0.05, "oracle_AP": 0.9, "AP50": 0.5, "baseline_AP50": 0.25, "images": 8}


def row(metric: str, *values: object) -> dict[str, object]:
    return {"metric": metric} | dict(zip(["score", "baseline", "oracle", "last run", "change"], values, strict=True))


def test_a_row_for_each_score_with_a_baseline_beside_that_of_the_last_run() -> None:
    assert metric_rows(METRICS, {"AP": 0.01, "images": 4}) == [
        row("AP", 0.31, 0.05, 0.9, 0.01, 0.3),
        row("AP50", 0.5, 0.25, None, None, None),
    ]


@pytest.mark.parametrize("last", [None, "0.2", [0.2]])
def test_what_is_no_number_has_no_change(last: object) -> None:
    assert metric_rows({"AP": 0.5, "baseline_AP": 0.1}, {"AP": last}) == [row("AP", 0.5, 0.1, None, last, None)]
    assert metric_rows({"AP": None, "baseline_AP": 0.1}, {"AP": 0.2}) == [row("AP", None, 0.1, None, 0.2, None)]


def test_a_score_that_got_worse_and_one_that_stayed() -> None:
    assert [line["change"] for line in metric_rows(METRICS, {"AP": 0.41, "AP50": 0.5})] == [-0.1, 0.0]


def test_tags_name_datasets_systems_and_the_commit_once() -> None:
    stages = ["tables@coco", "pack@coco_yolo", "train@coco_yolo", "validate@digits", "summary"]
    assert tags_of(stages, ["coco", "digits"], "abc1234") == [
        "commit:abc1234",
        "dataset:coco",
        "dataset:digits",
        "system:coco_yolo",
    ]
    assert tags_of(["tables@coco"], ["coco"], None) == ["dataset:coco"]


@pytest.mark.parametrize(
    ("mode", "size", "shown"),
    [
        ("RGB", (1800, 600), (900, 300)),
        ("RGBA", (450, 1350), (300, 900)),
        ("P", (40, 30), (40, 30)),
    ],
)
def test_a_picture_as_address_is_a_small_jpeg(
    tmp_path: Path, mode: str, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    Image.new("RGB", size, (200, 40, 10)).convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    address = _as_address(tmp_path / "a.png")
    start, _, content = address.partition(",")
    assert start == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as picture:
        assert (picture.format, picture.size, max(shown) <= MAX_PICTURE_SIDE) == ("JPEG", shown, True)
        pixel = picture.getpixel((5, 5))
        assert isinstance(pixel, tuple)
        assert all(abs(got - drawn) <= 8 for got, drawn in zip(pixel, (200, 40, 10), strict=True))
