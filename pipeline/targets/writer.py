"""Encodes the boxes of a whole split into shards of training targets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.packing.shards import shard_path, write_shard
from pipeline.systems.common.interfaces import TargetCodec
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.target_annotations import annotation_columns
from pipeline.targets.ground_truth import ground_truth_by_image

SHARD_EXAMPLES = 4096


@dataclass(frozen=True)
class EncodedSplit:
    """How much of a split was encoded.

    Attributes:
        images: encoded images.
        boxes: boxes of these images, without crowd regions that are ignored.
        images_skipped: images without an example.

    """

    images: int
    boxes: int
    images_skipped: int


def labels_of(categories: pa.Table, codec: TargetCodec[Any]) -> Labels:
    """The labels that a system gives to these categories."""
    names = dict(zip(categories["category_id"].to_pylist(), categories["name"].to_pylist(), strict=True))
    category_ids = codec.label_to_category_id(list(names))
    return Labels(category_ids, [names.get(int(category_id), "nothing") for category_id in category_ids])


def write_targets(
    folder: Path,
    split: str,
    tables: Tables,
    transforms: Mapping[int, ResizeTransform],
    codec: TargetCodec[Any],
    config: Config,
    labels: Labels,
    *,
    training: bool,
) -> EncodedSplit:
    """Encode the examples of a split, in the order of `transforms`. Images without an example are skipped.

    Args:
        folder: receives the shards.
        split: name of the split.
        tables: the validated tables.
        transforms: the resize transform of each image of the split, by image id.
        codec: the system's codec.
        config: the system's `targets` section.
        labels: the system's labels.
        training: whether examples are selected for training, and stored with their ground truth for augmentation.

    Raises:
        BoxlineError: if the split has no images, or no image has an example.

    """
    if not transforms:
        raise BoxlineError(
            f"Split {split!r} has no images, but the system needs it: evaluate.split in params.yaml names the scored "
            "one. Add images to it, or name a split that has some."
        )
    image_ids: list[int] = []
    examples: list[LabeledBoxes] = []
    num_boxes = 0
    by_image = ground_truth_by_image(tables.split(split).boxes, transforms, transforms, labels)
    for image_id, ground_truth in zip(transforms, by_image, strict=True):
        is_object = codec.object_mask(ground_truth, config)
        ground_truth = replace(ground_truth, is_crowd=~is_object)  # an encoded crowd region is an object from here on
        selected = codec.select_examples(ground_truth, config, training=training)
        image_ids += [image_id] * len(selected)
        examples += [ground_truth[rows] for rows in selected]
        num_boxes += int(is_object.sum()) if selected else 0
    if not examples:
        raise BoxlineError(
            f"No image of split {split!r} can be encoded: the split is empty, or no image has a fitting number of "
            "boxes. Check targets and evaluate.split of the system in params.yaml."
        )
    _write_shards(folder, split, image_ids, examples, codec, config, with_ground_truth=training)
    num_images = len(set(image_ids))
    return EncodedSplit(num_images, num_boxes, len(transforms) - num_images)


def _write_shards(
    folder: Path,
    split: str,
    image_ids: list[int],
    examples: list[LabeledBoxes],
    codec: TargetCodec[Any],
    config: Config,
    *,
    with_ground_truth: bool,
) -> None:
    max_boxes = max(1, max(map(len, examples)))
    for number, start in enumerate(range(0, len(examples), SHARD_EXAMPLES)):
        chosen = slice(start, start + SHARD_EXAMPLES)
        encoded = [codec.encode(example, config) for example in examples[chosen]]
        columns = {name: np.stack([targets[name] for targets in encoded]) for name in encoded[0]}
        if with_ground_truth:
            columns |= annotation_columns(examples[chosen], max_boxes)
        write_shard(shard_path(folder, split, number), np.array(image_ids[chosen], np.int64), columns)
