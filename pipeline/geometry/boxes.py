"""Box formats and overlap.

A box is four numbers whose order is part of every name: `xywh` is left, top, width, height as in COCO files, `xyxy` is
left, top, right, bottom. `boxes_xywh` are in pixels of the original image; `boxes_rel_xywh` are fractions of the square
model input, 0 at its left and top edge, 1 at its right and bottom edge. Right and bottom edges are exclusive: a box of
one pixel has width 1. Arrays are float64 [N, 4]; N may be 0.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]


def as_boxes(boxes: ArrayLike) -> Boxes:
    """Convert a sequence of boxes to float64 [N, 4]; an empty one becomes [0, 4].

    >>> as_boxes([]).shape
    (0, 4)
    """
    return np.asarray(boxes, np.float64).reshape(-1, 4)


def xywh_to_xyxy(boxes_xywh: ArrayLike) -> Boxes:
    """Convert left, top, width, height to left, top, right, bottom in the same unit.

    >>> xywh_to_xyxy([[10, 20, 30, 5]]).tolist()
    [[10.0, 20.0, 40.0, 25.0]]
    """
    boxes = as_boxes(boxes_xywh)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes_xyxy: ArrayLike) -> Boxes:
    """Convert left, top, right, bottom to left, top, width, height in the same unit.

    An inverted box, whose left edge is right of its right edge, keeps its negative width: correcting it would hide the
    error of a model.

    >>> xyxy_to_xywh([[10, 20, 40, 25]]).tolist()
    [[10.0, 20.0, 30.0, 5.0]]
    """
    boxes = as_boxes(boxes_xyxy)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def paired_iou(boxes_a_xyxy: ArrayLike, boxes_b_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Compute the intersection over union of each pair of boxes with the same index.

    Args:
        boxes_a_xyxy: [N, 4].
        boxes_b_xyxy: [N, 4] in the same unit.

    Returns:
        float64 [N] in 0..1. It is 0, never NaN, for boxes without positive area, including inverted ones.

    >>> paired_iou([[0, 0, 4, 2]], [[2, 0, 6, 2]]).round(4).tolist()  # 4 / (8 + 8 - 4)
    [0.3333]

    """
    a, b = as_boxes(boxes_a_xyxy), as_boxes(boxes_b_xyxy)
    intersection = _area(np.concatenate([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])], axis=1))
    union = _area(a) + _area(b) - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def medoid_box(boxes_xyxy: ArrayLike) -> int:
    """Return the index of the box with the largest mean IoU with all boxes, itself included; the first one of a tie.

    >>> medoid_box([[0, 0, 1, 1], [5, 5, 9, 9], [5, 5, 9, 8]])
    1
    """
    boxes = as_boxes(boxes_xyxy)
    count = len(boxes)
    ious = paired_iou(np.repeat(boxes, count, axis=0), np.tile(boxes, (count, 1))).reshape(count, count)
    return int(ious.mean(axis=1).argmax())


def _area(boxes_xyxy: Boxes) -> NDArray[np.float64]:
    sides = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None)
    return sides[:, 0] * sides[:, 1]
