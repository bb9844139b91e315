"""Boxes of a whole split encoded into shards of targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.datasets.tables import Tables, boxes_by_image
from pipeline.errors import BoxlineError
from pipeline.geometry.placement import Placement
from pipeline.params import Section
from pipeline.storage.shards import shard_path, write_shard
from pipeline.systems.labels import Labels
from pipeline.systems.verbs import Codec

SHARD_IMAGES = 4096


@dataclass(frozen=True)
class Encoded:
    """How much of a split was encoded: images, their boxes, and images left out."""

    images: int
    boxes: int
    images_left_out: int


def labels_of(categories: pa.Table, codec: Codec) -> Labels:
    """The system's labels for these categories."""
    names = dict(zip(categories["category_id"].to_pylist(), categories["name"].to_pylist(), strict=True))
    category_ids = codec.label_category_ids(list(names))
    return Labels(category_ids, [names.get(int(category_id), "nothing") for category_id in category_ids])


def write_targets(
    folder: Path,
    split: str,
    tables: Tables,
    placements: Mapping[int, Placement],
    codec: Codec,
    targets: Section,
    labels: Labels,
    *,
    training: bool,
) -> Encoded:
    """Encode the images of `placements`, in that order, leaving out those that do not suit.

    They have to suit training where `training`, scoring otherwise. Raises BoxlineError where nothing is left.
    """
    image_ids: list[int] = []
    encoded: list[dict[str, NDArray[Any]]] = []
    num_images, num_boxes = 0, 0
    for image_id, (boxes_xywh, category_ids) in zip(placements, boxes_by_image(tables.boxes, placements), strict=True):
        suits = codec.suits_training if training else codec.suits_scoring
        if not suits(len(boxes_xywh), targets):
            continue
        boxes_rel_xywh = placements[image_id].boxes_to_square(boxes_xywh)
        encoded.append(codec.encode(boxes_rel_xywh, labels.of_categories(category_ids), targets))
        image_ids.append(image_id)
        num_images += 1
        num_boxes += len(boxes_xywh)
        if len(encoded) == SHARD_IMAGES:
            _flush(shard_path(folder, split, (num_images - 1) // SHARD_IMAGES), image_ids, encoded)
    if not num_images:
        raise BoxlineError(
            f"No image of split {split!r} can be encoded: the split is empty, or no image has a fitting number of "
            "boxes. Check targets and evaluate.split of the system in params.yaml."
        )
    if encoded:
        _flush(shard_path(folder, split, (num_images - 1) // SHARD_IMAGES), image_ids, encoded)
    return Encoded(num_images, num_boxes, len(placements) - num_images)


def _flush(path: Path, image_ids: list[int], encoded: list[dict[str, NDArray[Any]]]) -> None:
    columns = {name: np.stack([arrays[name] for arrays in encoded]) for name in encoded[0]}
    write_shard(path, np.array(image_ids, np.int64), columns)
    image_ids.clear()
    encoded.clear()
