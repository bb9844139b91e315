"""What an encoding loses, computed by hand: five boxes, two of them with their centers in one cell."""

from pathlib import Path

import pytest

from pipeline.evaluation.detection import DetectionTask
from pipeline.evaluation.oracle import count_unencodable_boxes, oracle_scores
from pipeline.packing.shards import Shards
from pipeline.targets.writer import write_targets
from tests.support.grid_scene import CODEC, GRID_2, LABELS, TABLES, TRANSFORMS
from tests.support.scenes import box, image, tables

TASK = DetectionTask()


def test_one_of_two_boxes_in_a_cell_is_unencodable(tmp_path: Path) -> None:
    encoded = write_targets(tmp_path, "train", TABLES, TRANSFORMS, CODEC, GRID_2, LABELS, training=False)
    assert vars(encoded) == {"images": 3, "boxes": 5, "images_skipped": 0}
    shards = Shards(tmp_path, "train")
    assert shards.image_ids.tolist() == [7, 3, 12]
    assert count_unencodable_boxes(shards, encoded.boxes, CODEC, LABELS) == 1
    scores = oracle_scores(shards, TABLES, TRANSFORMS, CODEC, LABELS, TASK)
    # Category 5: both boxes are decoded. Category 2: two of three, precision 1 up to recall 2/3: 67 of 101 points.
    assert scores["AP"] == pytest.approx((1 + 67 / 101) / 2, abs=1e-6)


@pytest.mark.parametrize(("boxes_per_cell", "unencodable", "oracle_ap"), [(1, 1, 51 / 101), (2, 0, 1.0)])
def test_cell_with_two_boxes_encodes_both(
    tmp_path: Path, boxes_per_cell: int, unencodable: int, oracle_ap: float
) -> None:
    """With one box per cell recall is 1/2 at precision 1: 51 of 101 points."""
    scene = tables([image(3, width=100, height=80)], [box(4, 3, 5, (0, 0, 30, 20)), box(9, 3, 5, (5, 5, 25, 30))])
    config = GRID_2.model_copy(update={"boxes_per_cell": boxes_per_cell})
    transforms = {3: TRANSFORMS[3]}
    encoded = write_targets(tmp_path, "val", scene, transforms, CODEC, config, LABELS, training=False)
    shards = Shards(tmp_path, "val")
    assert count_unencodable_boxes(shards, encoded.boxes, CODEC, LABELS) == unencodable
    scores = oracle_scores(shards, scene, transforms, CODEC, LABELS, TASK)
    assert scores["AP"] == pytest.approx(oracle_ap, abs=1e-6)


def test_ignored_crowd_region_does_not_count_as_unencodable(tmp_path: Path) -> None:
    region = box(2, 3, 5, (5, 5, 80, 60), is_crowd=True)
    scene = tables([image(3, width=100, height=80)], [region, box(4, 3, 2, (0, 0, 30, 20))])
    transforms = {3: TRANSFORMS[3]}
    for crowd, boxes in (("encode", 2), ("ignore", 1)):
        config = GRID_2.model_copy(update={"grid_size": 4, "crowd": crowd})
        encoded = write_targets(tmp_path / crowd, "val", scene, transforms, CODEC, config, LABELS, training=False)
        assert encoded.boxes == boxes
        assert count_unencodable_boxes(Shards(tmp_path / crowd, "val"), encoded.boxes, CODEC, LABELS) == 0
