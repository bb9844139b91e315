"""Overlap of boxes for losses and metrics, differentiable, in `keras.ops`. pipeline/geometry/boxes.py is for NumPy."""

from typing import Any

from keras import ops


def iou_xyxy(boxes_a: Any, boxes_b: Any) -> Any:
    """Intersection over union. A box without positive area, an inverted one included, overlaps nothing.

    Args:
        boxes_a: left, top, right, bottom, [..., 4].
        boxes_b: the same, of a shape that broadcasts against `boxes_a`.

    Returns:
        float32 [...] in 0..1.

    """
    intersection, union, _ = _areas(boxes_a, boxes_b)
    return ops.divide_no_nan(intersection, union)


def generalized_iou_xyxy(boxes_a: Any, boxes_b: Any) -> Any:
    """Generalized IoU (Rezatofighi et al., 2019), whose gradient does not vanish for disjoint boxes.

    It is the IoU minus the fraction of the enclosing box that neither box covers.

    Args:
        boxes_a: left, top, right, bottom, [..., 4].
        boxes_b: the same, of a shape that broadcasts against `boxes_a`.

    Returns:
        float32 [...] in -1..1.

    """
    intersection, union, enclosing = _areas(boxes_a, boxes_b)
    return ops.divide_no_nan(intersection, union) - ops.divide_no_nan(enclosing - union, enclosing)


def xxyy_to_xyxy(edges: Any) -> Any:
    """Left, right, top, bottom, [..., 4], as left, top, right, bottom."""
    return ops.stack([edges[..., 0], edges[..., 2], edges[..., 1], edges[..., 3]], axis=-1)


def _areas(boxes_a: Any, boxes_b: Any) -> tuple[Any, Any, Any]:
    """Areas of the intersection, of the union, and of the enclosing box."""
    a, b = ops.cast(boxes_a, "float32"), ops.cast(boxes_b, "float32")
    intersection = _area(ops.maximum(a[..., :2], b[..., :2]), ops.minimum(a[..., 2:], b[..., 2:]))
    enclosing = _area(ops.minimum(a[..., :2], b[..., :2]), ops.maximum(a[..., 2:], b[..., 2:]))
    union = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - intersection
    return intersection, union, enclosing


def _area(low: Any, high: Any) -> Any:
    return ops.prod(ops.maximum(high - low, 0), axis=-1)
