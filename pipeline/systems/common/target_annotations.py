"""The ground truth of training examples, stored in the same shards as their targets.

Augmentation transforms boxes and encodes them again, since targets such as a grid cannot be transformed. The progress
page shows them as well. The names of these columns start with `example_`, unlike those of targets. Lists are padded to
the longest of the split, with label -1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.packing.shards import Shards
from pipeline.systems.common.labels import PADDING_LABEL

PREFIX = "example_"
BOXES_REL_XYWH = f"{PREFIX}boxes_rel_xywh"
LABELS = f"{PREFIX}labels"
IS_CROWD = f"{PREFIX}is_crowd"


def annotation_columns(examples: Sequence[LabeledBoxes], max_boxes: int) -> dict[str, NDArray[Any]]:
    """The ground truth of N examples, each with at most `max_boxes` boxes, as columns of a shard.

    Returns:
        float64 [N, max_boxes, 4], int64 [N, max_boxes] and uint8 [N, max_boxes], by column name.

    """
    boxes_rel_xywh = np.zeros((len(examples), max_boxes, 4))
    labels = np.full((len(examples), max_boxes), PADDING_LABEL, np.int64)
    is_crowd = np.zeros((len(examples), max_boxes), np.uint8)
    for row, example in enumerate(examples):
        boxes_rel_xywh[row, : len(example)] = example.boxes_rel_xywh
        labels[row, : len(example)] = example.labels
        is_crowd[row, : len(example)] = example.is_crowd
    return {BOXES_REL_XYWH: boxes_rel_xywh, LABELS: labels, IS_CROWD: is_crowd}


def read_annotations(targets: Shards, rows: NDArray[np.int64]) -> list[LabeledBoxes]:
    """The ground truth of those examples."""
    columns = (targets.take(name, rows) for name in (BOXES_REL_XYWH, LABELS, IS_CROWD))
    return [
        LabeledBoxes(boxes_rel_xywh, labels, is_crowd=is_crowd)[labels != PADDING_LABEL]
        for boxes_rel_xywh, labels, is_crowd in zip(*columns, strict=True)
    ]


def read_targets(targets: Shards, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """All targets of those examples, by name, without their ground truth."""
    return {name: targets.take(name, rows) for name in targets.names if not name.startswith(PREFIX)}
