"""The snack localizer's backbone: MobileNet without its top, with ImageNet weights, as Keras publishes it."""

import keras

from pipeline.pretrained.config import KERAS_FILES
from pipeline.pretrained.interfaces import PretrainedSource

SHAPE = (None, None, 3)


class MobileNetWeights(PretrainedSource):
    """MobileNet without its top, with ImageNet weights, as Keras publishes it."""

    files = KERAS_FILES

    def load_published(self) -> keras.Model:
        """Width 1: 3,228,864 parameters."""
        return keras.applications.MobileNet(input_shape=SHAPE, include_top=False, weights="imagenet")

    def random_init(self, scale: str) -> keras.Model:
        """Random weights; the small one has a quarter of the filters, and averages that settle within a short training."""
        if scale == "published":
            return keras.applications.MobileNet(input_shape=SHAPE, include_top=False, weights=None)
        model = keras.applications.MobileNet(input_shape=SHAPE, alpha=0.25, include_top=False, weights=None)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = (
                    0.9  # Keras's 0.99 takes hundreds of steps, in which frozen layers would answer nonsense
                )
        return model
