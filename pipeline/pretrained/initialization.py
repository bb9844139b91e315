"""Initial weights of detection heads."""

from typing import Any

import keras


def init_head(head: Any, bias: float) -> None:
    """Initialize the last layer of a RetinaNet head as the paper does.

    Args:
        head: KerasHub's `PredictionHead`.
        bias: of all outputs. The kernel is drawn with mean 0 and standard deviation 0.01.

    """
    kernel, biases = head.prediction_layer.weights
    kernel.assign(keras.initializers.RandomNormal(stddev=0.01)(kernel.shape))
    biases.assign(keras.ops.full_like(biases, bias))
