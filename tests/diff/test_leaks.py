"""New leaks: equal and almost equal images of two splits."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.diff.difference import compare
from pipeline.diff.leaks import NewLeak, find_new_leaks
from pipeline.diff.markdown_summary import format_leak, oracle_markdown
from pipeline.validation.image_checks import ImageSimilarAcrossSplits
from tests.support.diff_snapshots import snapshot
from tests.support.scenes import image

RINGS, STEPS = (np.uint8(np.add.outer(np.arange(16), np.arange(16)) * step).tobytes() for step in (8, 7))
OTHER = np.uint8(np.random.default_rng(1).integers(0, 255, (16, 16))).tobytes()
CHECK = ImageSimilarAcrossSplits(severity="warning", min_similarity=0.9, min_contrast=4)
A, B, C = image(1, "train"), image(1, "val") | {"file_name": "b.jpg"}, image(2, "val") | {"file_name": "c.jpg"}
NAME = "000000000001.jpg"


class Version:
    """The second version, of which only the thumbnails are read."""

    def __init__(self, *thumbnails: tuple[dict[str, Any], bytes]) -> None:
        rows = [{"image_id": row["image_id"], "split": row["split"], "thumbnail": pixels} for row, pixels in thumbnails]
        self.files = rows

    def table(self, dataset: str, file_name: str, columns: pa.Schema) -> pa.Table:
        return pa.Table.from_pylist(self.files, columns)


def new_leaks(before: list[Any], after: Version, rows: list[Any], check: Any = CHECK) -> list[NewLeak]:
    return find_new_leaks(compare(snapshot(before), snapshot(rows)), after, "coco", check)  # type: ignore[arg-type]


def test_almost_equal_images_are_a_new_leak() -> None:
    after = Version((A, RINGS), (B, STEPS), (C, OTHER))
    [leak] = new_leaks([A, C], after, [A, B, C])
    assert leak.locations == [("train", NAME), ("val", "b.jpg")]
    assert leak.similarity >= 0.9
    assert format_leak(NewLeak(leak.locations, 0.98765)) == f"train/{NAME} is almost (similarity 0.988) val/b.jpg"


def test_almost_equal_images_of_the_first_version_are_no_new_leak() -> None:
    after = Version((A, RINGS), (B, STEPS), (C, OTHER))
    assert new_leaks([A, B], after, [A, B, C]) == []


def test_image_that_moved_beside_its_copy_is_a_new_leak() -> None:
    moved = {**A, "split": "val", "image_id": 9}
    after = Version((A, RINGS), (B, STEPS), (C, OTHER))
    assert len(new_leaks([moved, B], after, [A, B, C])) == 1


def test_nothing_is_almost_equal_if_the_check_is_off() -> None:
    after = Version((A, RINGS), (B, STEPS))
    assert new_leaks([A], after, [A, B], CHECK.model_copy(update={"severity": "off"})) == []


def test_change_of_the_upper_bound_is_a_table() -> None:
    before = {"yolo": {"oracle_AP": 0.5, "train_images": 7}, "old": {"oracle_AP": 1.0}}
    after = {"yolo": {"oracle_AP": 0.45, "train_images": 8}}
    assert oracle_markdown(before, after).splitlines() == [
        "## Upper bound of the targets",
        "",
        "| system | score | before | after | difference |",
        "| --- | --- | --- | --- | --- |",
        r"| yolo | oracle_AP | 0.5000 | 0.4500 | -0.0500 |",
        "",
        "Only one version has targets of old.",
    ]
    assert oracle_markdown({}, {}) == ""


@pytest.mark.parametrize("count", [0, 1])
def test_equal_files_need_no_thumbnails(count: int) -> None:
    copy = {**A, "split": "val", "image_id": 7}
    rows = [A, copy][: 1 + count]
    assert len(new_leaks([A], Version(), rows)) == count
