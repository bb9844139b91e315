"""The rectangle localizer's backbone: VGG16 without its top, with ImageNet weights, as Keras publishes it."""

import keras
import keras_hub

from pipeline.pretrained.config import KERAS_FILES
from pipeline.pretrained.interfaces import PretrainedSource

SMALL_FILTERS = [8, 16, 16, 32, 32]


class VggWeights(PretrainedSource):
    """VGG16 without its top, with ImageNet weights, as Keras publishes it."""

    files = KERAS_FILES

    def load_published(self) -> keras.Model:
        """14,714,688 parameters."""
        return keras.applications.VGG16(include_top=False, weights="imagenet")

    def random_init(self, scale: str) -> keras.Model:
        """Random weights; the small one has the same thirteen convolutions with fewer filters."""
        if scale == "published":
            return keras.applications.VGG16(include_top=False, weights=None)
        model = keras_hub.models.VGGBackbone(stackwise_num_repeats=[2, 2, 3, 3, 3], stackwise_num_filters=SMALL_FILTERS)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D):
                # Keras's own start halves the signal at each of thirteen ReLUs and leaves little to learn from.
                layer.kernel.assign(keras.initializers.HeNormal()(layer.kernel.shape))
        return model
