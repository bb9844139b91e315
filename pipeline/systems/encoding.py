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
from pipeline.systems.verbs import Codec, Truth

SHARD_EXAMPLES = 4096


@dataclass(frozen=True)
class Encoded:
    """How much of a split was encoded: images, their boxes without crowd regions to ignore, and images left out."""

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
    """Encode the examples of the images of `placements`, in that order, leaving out images that do not suit.

    They have to suit training where `training`, scoring otherwise. Raises BoxlineError where nothing is left.
    """
    shard = _Shard(folder, split)
    num_images, num_boxes = 0, 0
    for image_id, boxes in zip(placements, boxes_by_image(tables.boxes, placements), strict=True):
        boxes_rel_xywh = placements[image_id].boxes_to_square(boxes.boxes_xywh)
        truth = Truth(boxes_rel_xywh, labels.of_categories(boxes.category_ids), boxes.is_crowd)
        examples = codec.examples(truth, targets, training=training)
        for rows in examples:
            shard.add(image_id, codec.encode(truth[rows], targets))
        if examples:
            num_images += 1
            num_boxes += int(codec.objects(truth, targets).sum())
    if not num_images:
        raise BoxlineError(
            f"No image of split {split!r} can be encoded: the split is empty, or no image has a fitting number of "
            "boxes. Check targets and evaluate.split of the system in params.yaml."
        )
    shard.flush()
    return Encoded(num_images, num_boxes, len(placements) - num_images)


class _Shard:
    """Examples on their way into shards of at most SHARD_EXAMPLES."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split, self._number = folder, split, 0
        self._image_ids: list[int] = []
        self._encoded: list[dict[str, NDArray[Any]]] = []

    def add(self, image_id: int, encoded: dict[str, NDArray[Any]]) -> None:
        self._image_ids.append(image_id)
        self._encoded.append(encoded)
        if len(self._encoded) == SHARD_EXAMPLES:
            self.flush()

    def flush(self) -> None:
        if not self._encoded:
            return
        columns = {name: np.stack([arrays[name] for arrays in self._encoded]) for name in self._encoded[0]}
        write_shard(shard_path(self._folder, self._split, self._number), np.array(self._image_ids, np.int64), columns)
        self._number += 1
        self._image_ids.clear()
        self._encoded.clear()
