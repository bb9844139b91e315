"""The backbone of the rectangle localizer: Keras's VGG16 without its top, with ImageNet weights."""

import keras
import keras_hub

from pipeline.pretrained.config import KERAS_FILES
from pipeline.pretrained.interfaces import PretrainedSource

SMALL_FILTERS = [8, 16, 16, 32, 32]


class VggWeights(PretrainedSource):
    """A backbone: Keras's VGG16 without its top, with ImageNet weights."""

    files = KERAS_FILES

    def load_published(self) -> keras.Model:
        """Fetch VGG16 with 14,714,688 parameters."""
        return keras.applications.VGG16(include_top=False, weights="imagenet")

    def random_init(self, scale: str) -> keras.Model:
        """Build VGG16 with random weights.

        Args:
            scale: "published", or "small" with the same thirteen convolutions and fewer filters.

        """
        if scale == "published":
            return keras.applications.VGG16(include_top=False, weights=None)
        model = keras_hub.models.VGGBackbone(stackwise_num_repeats=[2, 2, 3, 3, 3], stackwise_num_filters=SMALL_FILTERS)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D):
                # With Keras's default initializer each of the thirteen ReLUs would halve the signal.
                layer.kernel.assign(keras.initializers.HeNormal()(layer.kernel.shape))
        return model
