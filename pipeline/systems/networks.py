"""What the networks of several systems share: scaling of pixels, and overlap as a metric. `keras.ops` only."""

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


def mean_iou_xyxy(boxes_true: Any, boxes_predicted: Any) -> Any:
    """IoU of each pair of xyxy boxes [B, 4], float32 [B] in 0..1; Keras takes the mean as a metric of the epoch.

    A box without positive area, an inverted one included, overlaps nothing.
    """
    true, predicted = ops.cast(boxes_true, "float32"), ops.cast(boxes_predicted, "float32")
    low = ops.maximum(true[..., :2], predicted[..., :2])
    high = ops.minimum(true[..., 2:], predicted[..., 2:])
    shared = _area(low, high)
    union = _area(true[..., :2], true[..., 2:]) + _area(predicted[..., :2], predicted[..., 2:]) - shared
    return ops.divide_no_nan(shared, union)


def _area(low: Any, high: Any) -> Any:
    return ops.prod(ops.maximum(high - low, 0), axis=-1)
