"""Grid targets with a fixed number of boxes per cell, n: 1 as published.

`box` float32 [S, S, 5 n], first axis down, second axis right: the cell that holds a box's center gets the center inside
the cell (x, y in 0..1), width and height as fractions of the image, and confidence 1; five numbers for each of the
cell's boxes, the largest box first. Empty places are 0.
`class` int32 [S, S]: every cell that a box touches gets its label, later boxes over earlier ones, or smaller ones over
larger ones; then each box's center cell gets that box's label. 0 is background.

If more than n boxes have their centers in one cell, the last n are kept, or the n smallest; the others are lost.

With `crowd: ignore` a crowd region is no object. The cells that it touches have confidence -1 and class -1 and
contribute to no loss, except cells that hold the center of an object.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.coco_yolo.config import TargetsConfig
from pipeline.systems.common.detectors import CategoryIdCodec
from pipeline.systems.common.interfaces import NamedArrays
from pipeline.systems.common.labels import NO_CATEGORY

IGNORE = -1
"""Confidence and class of a cell that contributes to no loss."""


class GridCodec(CategoryIdCodec[TargetsConfig]):
    """Encodes boxes in the cells of a grid."""

    def select_examples(
        self, ground_truth: LabeledBoxes, config: TargetsConfig, *, training: bool
    ) -> list[NDArray[np.int64]]:
        """Train on images with 1 to `max_boxes` objects, evaluate every image."""
        num_objects = int(self.object_mask(ground_truth, config).sum())
        fits = num_objects >= 1 and (config.max_boxes is None or num_objects <= config.max_boxes)
        return [np.arange(len(ground_truth))] if fits or not training else []

    def encode(self, ground_truth: LabeledBoxes, config: TargetsConfig) -> dict[str, NDArray[Any]]:
        """`box` float32 [S, S, 5 n] and `class` int32 [S, S]."""
        size, is_object = config.grid_size, self.object_mask(ground_truth, config)
        boxes_rel_xywh, labels = ground_truth.boxes_rel_xywh[is_object], ground_truth.labels[is_object]
        if config.tie_break == "smallest":
            order = np.argsort(-boxes_rel_xywh[:, 2] * boxes_rel_xywh[:, 3], kind="stable")
            boxes_rel_xywh, labels = boxes_rel_xywh[order], labels[order]
        box = np.zeros((size, size, config.boxes_per_cell, 5), np.float32)
        classes = np.zeros((size, size), np.int32)
        centers = (boxes_rel_xywh[:, :2] + boxes_rel_xywh[:, 2:] / 2) * size
        # A center on the very edge of the image, or a rounding error beyond it, belongs to the outermost cell.
        columns, rows = np.clip(centers, 0, size - 1).astype(int).T
        for (x, y, width, height), label in zip(boxes_rel_xywh * size, labels, strict=True):
            classes[_touched_cells(y, height, size), _touched_cells(x, width, size)] = label
        for row, column, center, (_, _, width, height), label in zip(
            rows, columns, centers, boxes_rel_xywh, labels, strict=True
        ):
            box[row, column] = [*box[row, column, 1:], [*(center - (column, row)), width, height, 1]]
            classes[row, column] = label
        largest_first = np.argsort(-box[..., 2] * box[..., 3], axis=-1, kind="stable")
        box = np.take_along_axis(box, largest_first[..., None], axis=2)
        ignored = np.zeros((size, size), bool)
        for x, y, width, height in ground_truth.boxes_rel_xywh[~is_object] * size:
            ignored[_touched_cells(y, height, size), _touched_cells(x, width, size)] = True
        ignored &= box[:, :, 0, 4] == 0
        box[ignored, :, 4] = IGNORE
        classes[ignored] = IGNORE
        return {"box": box.reshape(size, size, -1), "class": classes}

    def oracle_outputs(self, targets: NamedArrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """`class` as probabilities [B, S, S, num_labels], ignored cells as background; `box` as it is."""
        labels = np.maximum(targets["class"], NO_CATEGORY)
        return {"box": targets["box"], "class": np.eye(num_labels, dtype=np.float32)[labels]}

    def decode(self, outputs: NamedArrays) -> list[LabeledBoxes]:
        """The boxes of every cell with its most probable class; score = confidence x class probability.

        Boxes without a positive size or a positive score are dropped.
        """
        flat = np.asarray(outputs["box"], np.float64)
        box = flat.reshape(*flat.shape[:3], -1, 5)  # [B, S, S, n, 5]
        probabilities = np.asarray(outputs["class"], np.float64)[..., 1:]
        size = box.shape[1]
        scores = np.clip(box[..., 4], 0, 1) * probabilities.max(axis=-1)[..., None]  # [B, S, S, n]
        labels = np.broadcast_to(probabilities.argmax(axis=-1)[..., None] + 1, scores.shape)
        corner = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)[:, :, None]  # column, row
        sizes = box[..., 2:4]
        boxes = np.concatenate([(corner + box[..., :2]) / size - sizes / 2, sizes], axis=-1)  # [B, S, S, n, 4]
        kept = (scores > 0) & (sizes > 0).all(axis=-1)
        return [LabeledBoxes(boxes[i][kept[i]], labels[i][kept[i]], scores[i][kept[i]]) for i in range(len(box))]


def _touched_cells(start: float, length: float, size: int) -> slice:
    """The cells of one axis that the open interval (start, start + length), in cells, overlaps."""
    first = min(max(int(np.floor(start)), 0), size - 1)
    last = min(max(int(np.ceil(start + length)), first + 1), size)
    return slice(first, last)
