"""Box formats and overlap.

A box is four numbers, and its name says which: `xywh` is left, top, width, height as COCO writes it, `xyxy` is left,
top, right, bottom. `boxes_xywh` are pixels of the original image; `boxes_rel_xywh` are fractions of the model's square
input, 0 at its left and top edge, 1 at its right and bottom edge. Right and bottom are exclusive edges: a box of one
pixel has width 1. Arrays are float64 [N, 4]; N may be 0.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float64]


def as_boxes(boxes: ArrayLike) -> Boxes:
    """Any sequence of four numbers each as float64 [N, 4]; an empty one as [0, 4].

    >>> as_boxes([]).shape
    (0, 4)
    """
    return np.asarray(boxes, np.float64).reshape(-1, 4)


def xywh_to_xyxy(boxes_xywh: ArrayLike) -> Boxes:
    """Left, top, width, height -> left, top, right, bottom, in the same unit.

    >>> xywh_to_xyxy([[10, 20, 30, 5]]).tolist()
    [[10.0, 20.0, 40.0, 25.0]]
    """
    boxes = as_boxes(boxes_xywh)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def xyxy_to_xywh(boxes_xyxy: ArrayLike) -> Boxes:
    """Left, top, right, bottom -> left, top, width, height, in the same unit.

    An inverted box, right of its right edge, keeps its negative width: hiding it would hide a model's mistake.

    >>> xyxy_to_xywh([[10, 20, 40, 25]]).tolist()
    [[10.0, 20.0, 30.0, 5.0]]
    """
    boxes = as_boxes(boxes_xyxy)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def paired_iou(boxes_a_xyxy: ArrayLike, boxes_b_xyxy: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of box i of one list with box i of the other; float64 [N] in 0..1.

    A box without positive area, an inverted one included, overlaps nothing: 0, never NaN.

    >>> paired_iou([[0, 0, 4, 2]], [[2, 0, 6, 2]]).round(4).tolist()  # 4 / (8 + 8 - 4)
    [0.3333]
    """
    a, b = as_boxes(boxes_a_xyxy), as_boxes(boxes_b_xyxy)
    shared = _area(np.concatenate([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])], axis=1))
    union = _area(a) + _area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def medoid_box(boxes_xyxy: ArrayLike) -> int:
    """The row of the box with the largest mean IoU with all boxes, itself included; of equals the first.

    >>> medoid_box([[0, 0, 1, 1], [5, 5, 9, 9], [5, 5, 9, 8]])
    1
    """
    boxes = as_boxes(boxes_xyxy)
    count = len(boxes)
    overlaps = paired_iou(np.repeat(boxes, count, axis=0), np.tile(boxes, (count, 1))).reshape(count, count)
    return int(overlaps.mean(axis=1).argmax())


def _area(boxes_xyxy: Boxes) -> NDArray[np.float64]:
    sides = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None)
    return sides[:, 0] * sides[:, 1]
