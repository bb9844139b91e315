"""The backbone of the snack localizer: Keras's MobileNet without its top, with ImageNet weights."""

import keras

from pipeline.pretrained.config import KERAS_FILES
from pipeline.pretrained.interfaces import PretrainedSource

SHAPE = (None, None, 3)


class MobileNetWeights(PretrainedSource):
    """A backbone: Keras's MobileNet without its top, with ImageNet weights."""

    files = KERAS_FILES

    def load_published(self) -> keras.Model:
        """Fetch MobileNet of width 1 with 3,228,864 parameters."""
        return keras.applications.MobileNet(input_shape=SHAPE, include_top=False, weights="imagenet")

    def random_init(self, scale: str) -> keras.Model:
        """Build MobileNet with random weights.

        Args:
            scale: "published", or "small" with a quarter of the filters and moving averages that converge within a
                short training.

        """
        if scale == "published":
            return keras.applications.MobileNet(input_shape=SHAPE, include_top=False, weights=None)
        model = keras.applications.MobileNet(input_shape=SHAPE, alpha=0.25, include_top=False, weights=None)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                # With Keras's 0.99 the averages need hundreds of steps; until then frozen features are useless.
                layer.momentum = 0.9
        return model
