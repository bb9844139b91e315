"""Tables, images and tags on the page of a run."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from flows.reports import MAX_IMAGE_SIDE, _data_url, metric_rows, run_tags

METRICS = {"AP": 0.31, "baseline_AP": 0.05, "oracle_AP": 0.9, "AP50": 0.5, "baseline_AP50": 0.25, "images": 8}


def row(metric: str, *values: object) -> dict[str, object]:
    return {"metric": metric} | dict(zip(["score", "baseline", "oracle", "last run", "change"], values, strict=True))


def test_each_metric_with_a_baseline_has_a_row_with_the_last_runs_score() -> None:
    assert metric_rows(METRICS, {"AP": 0.01, "images": 4}) == [
        row("AP", 0.31, 0.05, 0.9, 0.01, 0.3),
        row("AP50", 0.5, 0.25, None, None, None),
    ]


@pytest.mark.parametrize("last", [None, "0.2", [0.2]])
def test_change_is_none_unless_both_scores_are_numbers(last: object) -> None:
    assert metric_rows({"AP": 0.5, "baseline_AP": 0.1}, {"AP": last}) == [row("AP", 0.5, 0.1, None, last, None)]
    assert metric_rows({"AP": None, "baseline_AP": 0.1}, {"AP": 0.2}) == [row("AP", None, 0.1, None, 0.2, None)]


def test_change_is_signed() -> None:
    assert [line["change"] for line in metric_rows(METRICS, {"AP": 0.41, "AP50": 0.5})] == [-0.1, 0.0]


def test_tags_have_datasets_systems_and_commit_once() -> None:
    stages = ["tables@coco", "pack@coco_yolo", "train@coco_yolo", "validate@digits", "summary"]
    assert run_tags(stages, ["coco", "digits"], "abc1234") == [
        "commit:abc1234",
        "dataset:coco",
        "dataset:digits",
        "system:coco_yolo",
    ]
    assert run_tags(["tables@coco"], ["coco"], None) == ["dataset:coco"]


@pytest.mark.parametrize(
    ("mode", "size", "thumbnail_size"),
    [
        ("RGB", (1800, 600), (900, 300)),
        ("RGBA", (450, 1350), (300, 900)),
        ("P", (40, 30), (40, 30)),
    ],
)
def test_data_url_holds_a_small_jpeg(
    tmp_path: Path, mode: str, size: tuple[int, int], thumbnail_size: tuple[int, int]
) -> None:
    Image.new("RGB", size, (200, 40, 10)).convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    prefix, _, content = _data_url(tmp_path / "a.png").partition(",")
    assert prefix == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as image:
        assert (image.format, image.size, max(thumbnail_size) <= MAX_IMAGE_SIDE) == ("JPEG", thumbnail_size, True)
        pixel = image.getpixel((5, 5))
        assert isinstance(pixel, tuple)
        assert all(abs(value - expected) <= 8 for value, expected in zip(pixel, (200, 40, 10), strict=True))
