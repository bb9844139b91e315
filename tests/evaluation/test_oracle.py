"""What an encoding loses, worked by hand: three boxes, two of them with their centres in one cell."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.evaluation import detection
from pipeline.evaluation.oracle import count_unencodable_boxes, oracle_score
from pipeline.geometry.resize import letterbox
from pipeline.packing.shards import Shards
from pipeline.systems.coco_yolo import targets as codec
from pipeline.systems.coco_yolo.config import TargetsConfig
from pipeline.systems.digits_localizer import params as digits_params
from pipeline.systems.digits_localizer import targets as digits_codec
from pipeline.systems.labels import Labels
from pipeline.systems.target_annotations import read_annotations, read_targets
from pipeline.systems.target_writer import labels_of, write_targets
from tests.support.scenes import box, image, tables

GRID_2 = TargetsConfig(grid_size=2, max_boxes=2, overlap="later", boxes_per_cell=1, crowd="encode")
PACK_INDEX = {7: letterbox(640, 427, 160), 3: letterbox(100, 80, 160), 12: letterbox(640, 427, 160)}
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
    encoded = write_targets(tmp_path, "val", TABLES, PACK_INDEX, codec, GRID_2, LABELS, training=False)
    assert vars(encoded) == {"images": 3, "boxes": 5, "images_skipped": 0}
    shards = Shards(tmp_path, "val")
    assert shards.image_ids.tolist() == [7, 3, 12]
    assert count_unencodable_boxes(shards, encoded.boxes, codec, len(LABELS.names)) == 1
    best = oracle_score(shards, TABLES, PACK_INDEX, codec, LABELS, detection)
    # Category 5: both found. Category 2: two of three found, precision 1 up to recall 2/3: 67 of 101 points.
    assert best["AP"] == pytest.approx((1 + 67 / 101) / 2, abs=1e-6)


@pytest.mark.parametrize(("boxes_per_cell", "lost", "best"), [(1, 1, 51 / 101), (2, 0, 1.0)])
def test_a_cell_of_two_boxes_saves_the_second_one(tmp_path: Path, boxes_per_cell: int, lost: int, best: float) -> None:
    """With one box per cell half the recall is reached, at precision 1: 51 of 101 points."""
    truth = tables([image(3, width=100, height=80)], [box(4, 3, 5, (0, 0, 30, 20)), box(9, 3, 5, (5, 5, 25, 30))])
    targets = GRID_2.model_copy(update={"boxes_per_cell": boxes_per_cell})
    transforms = {3: PACK_INDEX[3]}
    encoded = write_targets(tmp_path, "val", truth, transforms, codec, targets, LABELS, training=False)
    shards = Shards(tmp_path, "val")
    assert count_unencodable_boxes(shards, encoded.boxes, codec, len(LABELS.names)) == lost
    assert oracle_score(shards, truth, transforms, codec, LABELS, detection)["AP"] == pytest.approx(best, abs=1e-6)


def test_trained_on_are_images_with_one_or_two_boxes(tmp_path: Path) -> None:
    encoded = write_targets(tmp_path, "train", TABLES, PACK_INDEX, codec, GRID_2, LABELS, training=True)
    assert vars(encoded) == {"images": 1, "boxes": 2, "images_skipped": 2}
    assert Shards(tmp_path, "train").image_ids.tolist() == [3]


def test_an_ignored_crowd_region_is_not_lost(tmp_path: Path) -> None:
    region = box(2, 3, 5, (5, 5, 80, 60), is_crowd=True)
    scene = tables([image(3, width=100, height=80)], [region, box(4, 3, 2, (0, 0, 30, 20))])
    transforms = {3: PACK_INDEX[3]}
    for crowd, boxes in (("encode", 2), ("ignore", 1)):
        targets = GRID_2.model_copy(update={"grid_size": 4, "crowd": crowd})
        encoded = write_targets(tmp_path / crowd, "val", scene, transforms, codec, targets, LABELS, training=False)
        assert encoded.boxes == boxes
        assert count_unencodable_boxes(Shards(tmp_path / crowd, "val"), encoded.boxes, codec, len(LABELS.names)) == 0


def test_training_examples_keep_their_boxes_beside_their_targets(tmp_path: Path) -> None:
    """Of one and of two boxes; encoded anew they give the stored targets."""
    region = box(7, 12, 5, (100, 100, 300, 200), is_crowd=True)
    scene = tables([image(12), image(3, width=100, height=80)], [*TABLES.boxes.to_pylist()[1:3], region])
    transforms = {name: PACK_INDEX[name] for name in (12, 3)}
    write_targets(tmp_path, "train", scene, transforms, codec, GRID_2, LABELS, training=True)
    shards = Shards(tmp_path, "train")
    first, second = read_annotations(shards, np.array([0, 1]))
    expected = PACK_INDEX[3].apply_boxes([(0, 0, 30, 20), (5, 5, 25, 30)])
    np.testing.assert_array_equal(second.boxes_rel_xywh, expected)
    assert (first.labels.tolist(), second.labels.tolist()) == ([5], [2, 5])
    assert not first.is_crowd.any()  # encoded like any object
    stored = read_targets(shards, np.array([0, 1]))
    assert sorted(stored) == ["box", "class"]
    for row, truth in enumerate((first, second)):
        for name, values in codec.encode(truth, GRID_2).items():
            np.testing.assert_array_equal(values, stored[name][row])


def test_ignored_crowd_regions_are_kept_as_such(tmp_path: Path) -> None:
    region = box(2, 3, 5, (5, 5, 80, 60), is_crowd=True)
    scene = tables([image(3, width=100, height=80)], [region, box(4, 3, 2, (0, 0, 30, 20))])
    targets = GRID_2.model_copy(update={"grid_size": 4, "crowd": "ignore"})
    write_targets(tmp_path, "train", scene, {3: PACK_INDEX[3]}, codec, targets, LABELS, training=True)
    [truth] = read_annotations(Shards(tmp_path, "train"), np.array([0]))
    assert truth.is_crowd.tolist() == [True, False]


def test_a_localizer_leaves_out_what_has_no_one_answer(tmp_path: Path) -> None:
    labels = labels_of(TABLES.categories, digits_codec)
    one_box = tables([image(7), image(3)], [box(1, 7, 5, (10, 20, 30, 40))])
    transforms = {3: PACK_INDEX[3], 7: PACK_INDEX[7]}
    encoded = write_targets(
        tmp_path, "test", one_box, transforms, digits_codec, digits_params.Targets(), labels, training=False
    )
    assert vars(encoded) == {"images": 1, "boxes": 1, "images_skipped": 1}
    assert Shards(tmp_path, "test").take("label", np.array([0])).tolist() == [[1]]


def test_a_split_without_a_fitting_image(tmp_path: Path) -> None:
    empty = tables([image(7)], [])
    with pytest.raises(BoxlineError) as raised:
        write_targets(tmp_path, "train", empty, {7: PACK_INDEX[7]}, codec, GRID_2, LABELS, training=True)
    assert str(raised.value) == (
        "No image of split 'train' can be encoded: the split is empty, or no image has a fitting number of boxes. "
        "Check targets and evaluate.split of the system in params.yaml."
    )
