"""The true boxes of training examples, in the same shards as their targets: a grid cannot be moved, boxes can.

The names of these columns begin with `example_`, which no target's name does. Lists are padded to the longest of the
split, with label -1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.packing.shards import Shards
from pipeline.systems.interfaces import Truth

PREFIX = "example_"
BOXES_REL_XYWH = f"{PREFIX}boxes_rel_xywh"
LABELS = f"{PREFIX}labels"
IS_CROWD = f"{PREFIX}is_crowd"

PADDING = -1


def annotation_columns(truths: Sequence[Truth], most: int) -> dict[str, NDArray[Any]]:
    """The boxes of N examples, none with more than `most`: float64 [N, most, 4], int64 [N, most], uint8 [N, most]."""
    boxes_rel_xywh = np.zeros((len(truths), most, 4))
    labels = np.full((len(truths), most), PADDING, np.int64)
    is_crowd = np.zeros((len(truths), most), np.uint8)
    for row, truth in enumerate(truths):
        boxes_rel_xywh[row, : len(truth)] = truth.boxes_rel_xywh
        labels[row, : len(truth)] = truth.labels
        is_crowd[row, : len(truth)] = truth.is_crowd
    return {BOXES_REL_XYWH: boxes_rel_xywh, LABELS: labels, IS_CROWD: is_crowd}


def read_annotations(targets: Shards, rows: NDArray[np.int64]) -> list[Truth]:
    """The boxes of those examples, as `annotation_columns` took them."""
    columns = (targets.take(name, rows) for name in (BOXES_REL_XYWH, LABELS, IS_CROWD))
    return [
        Truth(boxes_rel_xywh, labels, is_crowd.astype(bool))[labels != PADDING]
        for boxes_rel_xywh, labels, is_crowd in zip(*columns, strict=True)
    ]


def read_targets(targets: Shards, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """All targets of those examples, by name, without their boxes."""
    return {name: targets.take(name, rows) for name in targets.names if not name.startswith(PREFIX)}
