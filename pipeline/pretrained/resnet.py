"""The backbone of the grid detector: KerasHub's ResNet with ImageNet weights."""

import keras
import keras_hub

from pipeline.pretrained.config import BACKBONE_FILES
from pipeline.pretrained.interfaces import PretrainedSource

# The published summary has 77,850,336 parameters, which fits a ResNet-50 with a stem of three 3 x 3 convolutions and
# the shortcuts of KerasHub's "vd" variant. The published source names another preset, resnet_50_imagenet, with a stem
# of one 7 x 7 convolution and 19,360 parameters fewer; that one can be used as well.
HANDLE = "resnet_vd_50_imagenet"

SCALES = {
    "published": {
        "input_conv_filters": [32, 32, 64],
        "input_conv_kernel_sizes": [3, 3, 3],
        "stackwise_num_filters": [64, 128, 256, 512],
        "stackwise_num_blocks": [3, 4, 6, 3],
        "stackwise_num_strides": [1, 2, 2, 2],
        "block_type": "bottleneck_block_vd",
    },
    "small": {
        "input_conv_filters": [16],
        "input_conv_kernel_sizes": [3],
        "stackwise_num_filters": [64],
        "stackwise_num_blocks": [1],
        "stackwise_num_strides": [2],
        "block_type": "basic_block_vd",
    },
}


class ResNetWeights(PretrainedSource):
    """A backbone: KerasHub's ResNet with ImageNet weights."""

    files = BACKBONE_FILES
    preset_class = keras_hub.models.Backbone

    def load_published(self) -> keras.Model:
        """Fetch a ResNet-50 with 23.5 million parameters."""
        return self.preset_class.from_preset(HANDLE)

    def random_init(self, scale: str) -> keras.Model:
        """Build a ResNet with random weights.

        Args:
            scale: "published", or "small" with one block of two convolutions.

        """
        return keras_hub.models.ResNetBackbone(**SCALES[scale], image_shape=(None, None, 3))
