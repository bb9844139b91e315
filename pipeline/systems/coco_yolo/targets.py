"""Grid targets, a fixed number of boxes per cell, n: 1 as published.

`box` float32 [S, S, 5 n], first axis down, second axis right: the cell that holds a box's centre gets the centre inside
the cell (x, y in 0..1), width and height as fractions of the image, and confidence 1; five numbers for each of the
cell's boxes, the largest box first. What is left of a cell is 0.
`class` int32 [S, S]: every cell that a box touches gets its label, later boxes over earlier ones, or smaller ones over
larger ones; then each box's centre cell gets that box's label. 0 is nothing.

Of more than n boxes with their centres in one cell the last n stay, or the n smallest; the others are lost.

With `crowd: ignore` a crowd region is no object. The cells that it touches have confidence -1 and class -1, for "not
asked", but for those that hold the centre of an object.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.systems.coco_yolo.config import Targets
from pipeline.systems.interfaces import NO_CATEGORY, Arrays, Decoded, Truth
from pipeline.systems.labels import category_ids_as_labels

TASK = "detection"

label_to_category_id = category_ids_as_labels

IGNORE = -1
"""Confidence and class of a cell that has no loss."""


def objects(truth: Truth, targets: Targets) -> NDArray[np.bool_]:
    """Every box, or with `crowd: ignore` every box that is no crowd region."""
    return ~truth.is_crowd if targets.crowd == "ignore" else np.ones(len(truth), bool)


def examples(truth: Truth, targets: Targets, *, training: bool) -> list[NDArray[np.int64]]:
    """Trained on are images with objects, but not with too many; scored is every image, also one without objects."""
    num_objects = int(objects(truth, targets).sum())
    suits = not training or (num_objects >= 1 and (targets.max_boxes is None or num_objects <= targets.max_boxes))
    return [np.arange(len(truth))] if suits else []


def encode(truth: Truth, targets: Targets) -> dict[str, NDArray[Any]]:
    """The grid of one image."""
    size, found = targets.grid_size, objects(truth, targets)
    boxes_rel_xywh, labels = truth.boxes_rel_xywh[found], truth.labels[found]
    if targets.overlap == "smaller":
        order = np.argsort(-boxes_rel_xywh[:, 2] * boxes_rel_xywh[:, 3], kind="stable")
        boxes_rel_xywh, labels = boxes_rel_xywh[order], labels[order]
    box = np.zeros((size, size, targets.boxes_per_cell, 5), np.float32)
    classes = np.zeros((size, size), np.int32)
    centers = (boxes_rel_xywh[:, :2] + boxes_rel_xywh[:, 2:] / 2) * size
    # A centre on the very edge of the image, or a rounding error beyond it, belongs to the outermost cell.
    columns, rows = np.clip(centers, 0, size - 1).astype(int).T
    for (x, y, width, height), label in zip(boxes_rel_xywh * size, labels, strict=True):
        classes[_touched(y, height, size), _touched(x, width, size)] = label
    for row, column, center, (_, _, width, height), label in zip(
        rows, columns, centers, boxes_rel_xywh, labels, strict=True
    ):
        box[row, column] = [*box[row, column, 1:], [*(center - (column, row)), width, height, 1]]
        classes[row, column] = label
    largest_first = np.argsort(-box[..., 2] * box[..., 3], axis=-1, kind="stable")
    box = np.take_along_axis(box, largest_first[..., None], axis=2)
    not_asked = np.zeros((size, size), bool)
    for x, y, width, height in truth.boxes_rel_xywh[~found] * size:
        not_asked[_touched(y, height, size), _touched(x, width, size)] = True
    not_asked &= box[:, :, 0, 4] == 0
    box[not_asked, :, 4] = IGNORE
    classes[not_asked] = IGNORE
    return {"box": box.reshape(size, size, -1), "class": classes}


def as_outputs(targets: Arrays, num_labels: int) -> dict[str, NDArray[Any]]:
    """`class` int [B, S, S] as probabilities [B, S, S, num_labels]; `box` as it is. Not asked is nothing."""
    labels = np.maximum(targets["class"], NO_CATEGORY)
    return {"box": targets["box"], "class": np.eye(num_labels, dtype=np.float32)[labels]}


def decode(outputs: Arrays) -> Decoded:
    """The boxes of every cell, most probable label other than nothing, score = confidence x its probability.

    Boxes without a positive size or without a positive score answer nothing.
    """
    flat = np.asarray(outputs["box"], np.float64)
    box = flat.reshape(*flat.shape[:3], -1, 5)  # [B, S, S, n, 5]
    probabilities = np.asarray(outputs["class"], np.float64)[..., 1:]
    size = box.shape[1]
    scores = np.clip(box[..., 4], 0, 1) * probabilities.max(axis=-1)[..., None]
    labels = np.broadcast_to(probabilities.argmax(axis=-1)[..., None] + 1, scores.shape)
    corner = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)[:, :, None]  # column, row
    sizes = box[..., 2:4]
    boxes = np.concatenate([(corner + box[..., :2]) / size - sizes / 2, sizes], axis=-1)
    answered = (scores > 0) & (sizes > 0).all(axis=-1)
    return Decoded(np.nonzero(answered)[0], boxes[answered], labels[answered], scores[answered])


def _touched(start: float, length: float, size: int) -> slice:
    """The cells of one axis that the open interval (start, start + length), in cells, reaches into."""
    first = min(max(int(np.floor(start)), 0), size - 1)
    last = min(max(int(np.ceil(start + length)), first + 1), size)
    return slice(first, last)
