"""Boxes of a whole split encoded into shards of targets, and the labels that they use."""

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
from pipeline.storage.files import read_json, write_json
from pipeline.storage.shards import shard_path, write_shard
from pipeline.systems.verbs import Codec

LABELS = "labels.json"
SHARD_IMAGES = 4096


@dataclass(frozen=True)
class Labels:
    """What each label of a system stands for: `category_ids` int32 [num_labels] and the categories' `names`."""

    category_ids: NDArray[np.int32]
    names: list[str]

    @classmethod
    def of(cls, categories: pa.Table, codec: Codec) -> "Labels":
        """The system's labels for these categories."""
        names = dict(zip(categories["category_id"].to_pylist(), categories["name"].to_pylist(), strict=True))
        category_ids = codec.label_category_ids(list(names))
        return cls(category_ids, [names.get(int(category_id), "nothing") for category_id in category_ids])

    @classmethod
    def read(cls, folder: Path) -> "Labels":
        """What `write` wrote."""
        content = read_json(folder / LABELS)
        return cls(np.array(content["category_ids"], np.int32), content["names"])

    def write(self, folder: Path) -> None:
        """labels.json"""
        write_json(folder / LABELS, {"category_ids": self.category_ids.tolist(), "names": self.names})

    def of_categories(self, category_ids: NDArray[np.int32]) -> NDArray[np.int64]:
        """The label of each category id, [N] -> [N]."""
        order = np.argsort(self.category_ids, kind="stable")
        return order[np.searchsorted(self.category_ids, category_ids, sorter=order)]


def write_targets(
    folder: Path,
    split: str,
    tables: Tables,
    placements: Mapping[int, Placement],
    codec: Codec,
    targets: Section,
    *,
    training: bool,
) -> int:
    """Encode the images of `placements`, in that order; for training only those that suit. Returns how many boxes."""
    labels = Labels.of(tables.categories, codec)
    image_ids: list[int] = []
    encoded: list[dict[str, NDArray[Any]]] = []
    num_boxes, num_shards = 0, 0
    for image_id, (boxes_xywh, category_ids) in zip(placements, boxes_by_image(tables.boxes, placements), strict=True):
        if training and not codec.suits_training(len(boxes_xywh), targets):
            continue
        boxes_rel_xywh = placements[image_id].boxes_to_square(boxes_xywh)
        try:
            encoded.append(codec.encode(boxes_rel_xywh, labels.of_categories(category_ids), targets))
        except BoxlineError as error:
            raise BoxlineError(f"image {image_id} of split {split}: {error}.") from None
        image_ids.append(image_id)
        num_boxes += len(boxes_xywh)
        if len(encoded) == SHARD_IMAGES:
            _flush(folder, split, num_shards, image_ids, encoded)
            num_shards += 1
    if encoded or not num_shards:
        _flush(folder, split, num_shards, image_ids, encoded)
    return num_boxes


def _flush(folder: Path, split: str, number: int, image_ids: list[int], encoded: list[dict[str, NDArray[Any]]]) -> None:
    if not encoded:
        raise BoxlineError(
            f"No image of split {split!r} can be encoded: either the split is empty or none has a fitting number of "
            "boxes. Check targets and evaluate.split of the system in params.yaml."
        )
    columns = {name: np.stack([arrays[name] for arrays in encoded]) for name in encoded[0]}
    write_shard(shard_path(folder, split, number), np.array(image_ids, np.int64), columns)
    image_ids.clear()
    encoded.clear()
