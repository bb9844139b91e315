"""Layers that the models of several systems share: pixel scaling and convolution blocks."""

from typing import Any

import keras

PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_DEVIATION = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's RGB values in 0..1, which ResNets with published weights expect."""


def imagenet_scaling() -> keras.Layer:
    """A layer that scales RGB pixels 0..255 to mean 0 and standard deviation 1 over ImageNet."""
    return keras.layers.Rescaling(
        [1 / (255 * deviation) for deviation in PIXEL_DEVIATION],
        [-mean / deviation for mean, deviation in zip(PIXEL_MEAN, PIXEL_DEVIATION, strict=True)],
    )


def convolution(x: Any, filters: int, kernel_size: int = 3, strides: int = 1) -> Any:
    """A convolution with batch normalization and ReLU.

    The moving averages of the normalization converge within a short training: Keras's default momentum of 0.99 takes
    hundreds of steps.

    Args:
        x: features [B, h, w, C].
        filters: channels of the result.
        kernel_size: side of the kernel.
        strides: of both axes.

    Returns:
        Features [B, ceil(h / strides), ceil(w / strides), filters].

    """
    x = keras.layers.Conv2D(filters, kernel_size, strides=strides, padding="same", use_bias=False)(x)
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))
