"""Boxes of a whole split encoded into shards of targets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables, boxes_by_image
from pipeline.geometry.resize import ResizeTransform
from pipeline.packing.shards import shard_path, write_shard
from pipeline.systems.interfaces import Codec, Truth
from pipeline.systems.labels import Labels
from pipeline.systems.target_annotations import annotation_columns

SHARD_EXAMPLES = 4096


@dataclass(frozen=True)
class Encoded:
    """How much of a split was encoded: images, their boxes without crowd regions to ignore, and images left out."""

    images: int
    boxes: int
    images_skipped: int


def labels_of(categories: pa.Table, codec: Codec) -> Labels:
    """The system's labels for these categories."""
    names = dict(zip(categories["category_id"].to_pylist(), categories["name"].to_pylist(), strict=True))
    category_ids = codec.label_to_category_id(list(names))
    return Labels(category_ids, [names.get(int(category_id), "nothing") for category_id in category_ids])


def write_targets(
    folder: Path,
    split: str,
    tables: Tables,
    transforms: Mapping[int, ResizeTransform],
    codec: Codec,
    targets: Config,
    labels: Labels,
    *,
    training: bool,
) -> Encoded:
    """Encode the examples of the images of `transforms`, in that order, leaving out images that do not suit.

    They have to suit training where `training`, scoring otherwise; those for training keep their boxes beside their
    targets. Raises BoxlineError where nothing is left.
    """
    image_ids, truths, num_boxes = [], [], 0
    for image_id, boxes in zip(transforms, boxes_by_image(tables.boxes, transforms), strict=True):
        boxes_rel_xywh = transforms[image_id].apply_boxes(boxes.boxes_xywh)
        truth = Truth(boxes_rel_xywh, labels.of_categories(boxes.category_ids), boxes.is_crowd)
        found = codec.objects(truth, targets)
        truth = replace(truth, is_crowd=~found)  # a crowd region that is encoded is an object from here on
        examples = codec.examples(truth, targets, training=training)
        image_ids += [image_id] * len(examples)
        truths += [truth[rows] for rows in examples]
        num_boxes += int(found.sum()) if examples else 0
    if not truths:
        raise BoxlineError(
            f"No image of split {split!r} can be encoded: the split is empty, or no image has a fitting number of "
            "boxes. Check targets and evaluate.split of the system in params.yaml."
        )
    _write_shards(folder, split, image_ids, truths, codec, targets, with_boxes=training)
    num_images = len(set(image_ids))
    return Encoded(num_images, num_boxes, len(transforms) - num_images)


def _write_shards(
    folder: Path,
    split: str,
    image_ids: list[int],
    truths: list[Truth],
    codec: Codec,
    targets: Config,
    *,
    with_boxes: bool,
) -> None:
    """Examples encoded, SHARD_EXAMPLES to a file; `with_boxes` beside their targets."""
    most = max(1, max(map(len, truths)))
    for number, start in enumerate(range(0, len(truths), SHARD_EXAMPLES)):
        chosen = slice(start, start + SHARD_EXAMPLES)
        encoded = [codec.encode(truth, targets) for truth in truths[chosen]]
        columns = {name: np.stack([arrays[name] for arrays in encoded]) for name in encoded[0]}
        if with_boxes:
            columns |= annotation_columns(truths[chosen], most)
        write_shard(shard_path(folder, split, number), np.array(image_ids[chosen], np.int64), columns)
