"""What an encoding loses, worked by hand: three boxes, two of them with their centres in one cell."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import BoxlineError
from pipeline.evaluation import detection
from pipeline.evaluation.audit import ceiling, lost_boxes
from pipeline.geometry.placement import letterbox
from pipeline.storage.shards import Shards
from pipeline.systems.coco_yolo import targets as codec
from pipeline.systems.coco_yolo.params import Targets
from pipeline.systems.digits_localizer import params as digits_params
from pipeline.systems.digits_localizer import targets as digits_codec
from pipeline.systems.encoding import labels_of, write_targets
from pipeline.systems.labels import Labels
from tests.scenes import box, image, tables

GRID_2 = Targets(grid_size=2, max_boxes=2)
PLACEMENTS = {7: letterbox(640, 427, 160), 3: letterbox(100, 80, 160), 12: letterbox(640, 427, 160)}
TABLES = tables(
    [image(7, "train"), image(3, "train", width=100, height=80), image(12, "train")],
    [
        box(1, 7, 5, (10, 20, 30, 40)),
        box(4, 3, 2, (0, 0, 30, 20)),
        box(9, 3, 5, (5, 5, 25, 30)),  # its centre shares the first cell with the one before, which is lost
        box(5, 7, 2, (400, 300, 100, 60)),
        box(6, 7, 2, (10, 300, 100, 60)),
    ],
)
LABELS = labels_of(TABLES.categories, codec)


def test_labels_name_their_categories(tmp_path: Path) -> None:
    assert LABELS.names == ["nothing", "nothing", "cat", "nothing", "nothing", "dog"]
    assert LABELS.of_categories(np.array([5, 2, 5], np.int32)).tolist() == [5, 2, 5]
    LABELS.write(tmp_path)
    back = Labels.read(tmp_path)
    assert back.names == LABELS.names
    assert back.category_ids.tolist() == [0, 0, 2, 0, 0, 5]


def test_scored_are_all_images_and_of_two_boxes_in_one_cell_one_is_lost(tmp_path: Path) -> None:
    encoded = write_targets(tmp_path, "val", TABLES, PLACEMENTS, codec, GRID_2, LABELS, training=False)
    assert vars(encoded) == {"images": 3, "boxes": 5, "images_left_out": 0}
    shards = Shards(tmp_path, "val")
    assert shards.image_ids.tolist() == [7, 3, 12]
    assert lost_boxes(shards, encoded.boxes, codec, len(LABELS.names)) == 1
    best = ceiling(shards, TABLES, PLACEMENTS, codec, LABELS, detection)
    # Category 5: both found. Category 2: two of three found, precision 1 up to recall 2/3: 67 of 101 points.
    assert best["AP"] == pytest.approx((1 + 67 / 101) / 2, abs=1e-6)


def test_trained_on_are_images_with_one_or_two_boxes(tmp_path: Path) -> None:
    encoded = write_targets(tmp_path, "train", TABLES, PLACEMENTS, codec, GRID_2, LABELS, training=True)
    assert vars(encoded) == {"images": 1, "boxes": 2, "images_left_out": 2}
    assert Shards(tmp_path, "train").image_ids.tolist() == [3]


def test_an_ignored_crowd_region_is_not_lost(tmp_path: Path) -> None:
    region = box(2, 3, 5, (5, 5, 80, 60), is_crowd=True)
    scene = tables([image(3, width=100, height=80)], [region, box(4, 3, 2, (0, 0, 30, 20))])
    placements = {3: PLACEMENTS[3]}
    for crowd, boxes in (("encode", 2), ("ignore", 1)):
        targets = Targets(grid_size=4, max_boxes=2, crowd=crowd)
        encoded = write_targets(tmp_path / crowd, "val", scene, placements, codec, targets, LABELS, training=False)
        assert encoded.boxes == boxes
        assert lost_boxes(Shards(tmp_path / crowd, "val"), encoded.boxes, codec, len(LABELS.names)) == 0


def test_a_localizer_leaves_out_what_has_no_one_answer(tmp_path: Path) -> None:
    labels = labels_of(TABLES.categories, digits_codec)
    one_box = tables([image(7), image(3)], [box(1, 7, 5, (10, 20, 30, 40))])
    placements = {3: PLACEMENTS[3], 7: PLACEMENTS[7]}
    encoded = write_targets(
        tmp_path, "test", one_box, placements, digits_codec, digits_params.Targets(), labels, training=False
    )
    assert vars(encoded) == {"images": 1, "boxes": 1, "images_left_out": 1}
    assert Shards(tmp_path, "test").take("label", np.array([0])).tolist() == [[1]]


def test_a_split_without_a_fitting_image(tmp_path: Path) -> None:
    empty = tables([image(7)], [])
    with pytest.raises(BoxlineError) as raised:
        write_targets(tmp_path, "train", empty, {7: PLACEMENTS[7]}, codec, GRID_2, LABELS, training=True)
    assert str(raised.value) == (
        "No image of split 'train' can be encoded: the split is empty, or no image has a fitting number of boxes. "
        "Check targets and evaluate.split of the system in params.yaml."
    )
