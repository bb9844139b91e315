"""Targets of whole splits: which images are encoded, and what is stored of them."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.packing.shards import Shards
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.target_annotations import read_annotations, read_targets
from pipeline.systems.digits_localizer.config import TargetsConfig as DigitsTargetsConfig
from pipeline.systems.digits_localizer.targets import DigitsCodec
from pipeline.targets.writer import labels_of, write_targets
from tests.support.grid_scene import CODEC, GRID_2, LABELS, TABLES, TRANSFORMS
from tests.support.scenes import box, image, tables


def test_labels_name_their_categories(tmp_path: Path) -> None:
    assert LABELS.names == ["nothing", "nothing", "cat", "nothing", "nothing", "dog"]
    assert LABELS.from_category_ids(np.array([5, 2, 5], np.int32)).tolist() == [5, 2, 5]
    LABELS.write(tmp_path)
    restored = Labels.read(tmp_path)
    assert restored.names == LABELS.names
    assert restored.category_ids.tolist() == [0, 0, 2, 0, 0, 5]


def test_training_encodes_images_with_one_or_two_boxes(tmp_path: Path) -> None:
    encoded = write_targets(tmp_path, "train", TABLES, TRANSFORMS, CODEC, GRID_2, LABELS, training=True)
    assert vars(encoded) == {"images": 1, "boxes": 2, "images_skipped": 2}
    assert Shards(tmp_path, "train").image_ids.tolist() == [3]


def test_training_examples_are_stored_with_their_ground_truth(tmp_path: Path) -> None:
    """One image with one box and one with two; encoded again, the stored boxes give the stored targets."""
    region = box(7, 12, 5, (100, 100, 300, 200), is_crowd=True)
    scene = tables(
        [image(12, "train"), image(3, "train", width=100, height=80)], [*TABLES.boxes.to_pylist()[1:3], region]
    )
    transforms = {image_id: TRANSFORMS[image_id] for image_id in (12, 3)}
    write_targets(tmp_path, "train", scene, transforms, CODEC, GRID_2, LABELS, training=True)
    shards = Shards(tmp_path, "train")
    first, second = read_annotations(shards, np.array([0, 1]))
    expected = TRANSFORMS[3].apply_boxes([(0, 0, 30, 20), (5, 5, 25, 30)])
    np.testing.assert_array_equal(second.boxes_rel_xywh, expected)
    assert (first.labels.tolist(), second.labels.tolist()) == ([5], [2, 5])
    assert not first.is_crowd.any()  # encoded like any object
    stored = read_targets(shards, np.array([0, 1]))
    assert sorted(stored) == ["box", "class"]
    for row, ground_truth in enumerate((first, second)):
        for name, values in CODEC.encode(ground_truth, GRID_2).items():
            np.testing.assert_array_equal(values, stored[name][row])


def test_ignored_crowd_regions_are_stored_as_crowd_regions(tmp_path: Path) -> None:
    region = box(2, 3, 5, (5, 5, 80, 60), is_crowd=True)
    scene = tables([image(3, "train", width=100, height=80)], [region, box(4, 3, 2, (0, 0, 30, 20))])
    config = GRID_2.model_copy(update={"grid_size": 4, "crowd": "ignore"})
    write_targets(tmp_path, "train", scene, {3: TRANSFORMS[3]}, CODEC, config, LABELS, training=True)
    [ground_truth] = read_annotations(Shards(tmp_path, "train"), np.array([0]))
    assert ground_truth.is_crowd.tolist() == [True, False]


def test_localizer_skips_image_without_a_box(tmp_path: Path) -> None:
    codec = DigitsCodec()
    scene = tables([image(7, "test"), image(3, "test")], [box(1, 7, 5, (10, 20, 30, 40))])
    transforms = {3: TRANSFORMS[3], 7: TRANSFORMS[7]}
    labels = labels_of(TABLES.categories, codec)
    encoded = write_targets(tmp_path, "test", scene, transforms, codec, DigitsTargetsConfig(), labels, training=False)
    assert vars(encoded) == {"images": 1, "boxes": 1, "images_skipped": 1}
    assert Shards(tmp_path, "test").take("label", np.array([0])).tolist() == [[1]]


def test_split_without_any_example_is_reported(tmp_path: Path) -> None:
    empty = tables([image(7)], [])
    with pytest.raises(BoxlineError) as raised:
        write_targets(tmp_path, "train", empty, {7: TRANSFORMS[7]}, CODEC, GRID_2, LABELS, training=True)
    assert str(raised.value) == (
        "No image of split 'train' can be encoded: the split is empty, or no image has a fitting number of boxes. "
        "Check targets and evaluate.split of the system in params.yaml."
    )
