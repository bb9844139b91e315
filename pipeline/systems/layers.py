"""What the networks of several systems share: scaling of pixels, convolutions, and overlap. `keras.ops` only."""

from typing import Any

import keras
from keras import ops

# Mean and deviation of ImageNet's pixels in 0..1, RGB: what ResNets with published weights were trained with.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_DEVIATION = (0.229, 0.224, 0.225)


def imagenet_scaling() -> keras.Layer:
    """Pixels 0..255 RGB -> mean 0 and deviation 1 over ImageNet."""
    return keras.layers.Rescaling(
        [1 / (255 * deviation) for deviation in PIXEL_DEVIATION],
        [-mean / deviation for mean, deviation in zip(PIXEL_MEAN, PIXEL_DEVIATION, strict=True)],
    )


def convolution(x: Any, filters: int, kernel_size: int = 3, strides: int = 1) -> Any:
    """A convolution with batch norm and ReLU, [B, h, w, C] -> [B, ceil(h / strides), ceil(w / strides), filters].

    The averages of the norm settle within a short training: Keras's own 0.99 takes hundreds of steps.
    """
    x = keras.layers.Conv2D(filters, kernel_size, strides=strides, padding="same", use_bias=False)(x)
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))


def mean_iou_xyxy(boxes_true: Any, boxes_predicted: Any) -> Any:
    """IoU of each pair of boxes [B, 4] as a metric, float32 [B]: Keras takes the mean over an epoch."""
    return iou_xyxy(boxes_true, boxes_predicted)


def iou_xyxy(boxes_a: Any, boxes_b: Any) -> Any:
    """IoU of xyxy boxes [..., 4] that broadcast against each other, float32 [...] in 0..1.

    A box without positive area, an inverted one included, overlaps nothing.
    """
    shared, union, _ = _areas(boxes_a, boxes_b)
    return ops.divide_no_nan(shared, union)


def generalized_iou_xyxy(boxes_a: Any, boxes_b: Any) -> Any:
    """IoU less the share of the box around both that neither covers, float32 [...] in -1..1 (Rezatofighi et al., 2019).

    Boxes that do not touch still learn from it.
    """
    shared, union, around = _areas(boxes_a, boxes_b)
    return ops.divide_no_nan(shared, union) - ops.divide_no_nan(around - union, around)


def _areas(boxes_a: Any, boxes_b: Any) -> tuple[Any, Any, Any]:
    """Of what both cover, of what either covers, and of the box around both."""
    a, b = ops.cast(boxes_a, "float32"), ops.cast(boxes_b, "float32")
    shared = _area(ops.maximum(a[..., :2], b[..., :2]), ops.minimum(a[..., 2:], b[..., 2:]))
    around = _area(ops.minimum(a[..., :2], b[..., :2]), ops.maximum(a[..., 2:], b[..., 2:]))
    return shared, _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:]) - shared, around


def _area(low: Any, high: Any) -> Any:
    return ops.prod(ops.maximum(high - low, 0), axis=-1)
