"""The detector's backbone: a ResNet with ImageNet weights, as KerasHub publishes it."""

import keras
import keras_hub

from pipeline.pretrained.config import BACKBONE_FILES
from pipeline.pretrained.interfaces import PretrainedSource

# The published summary counts 77,850,336 parameters. That is a ResNet-50 with the stem of three 3 x 3 convolutions and
# the shortcuts of KerasHub's "vd" variant. The preset that the published source names, resnet_50_imagenet, has a stem
# of one 7 x 7 convolution and with it 19,360 fewer; it fits as well.
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
    """A ResNet with ImageNet weights, as KerasHub publishes it."""

    files = BACKBONE_FILES
    preset_class = keras_hub.models.Backbone

    def load_published(self) -> keras.Model:
        """ResNet-50, 23.5 million parameters."""
        return self.preset_class.from_preset(HANDLE)

    def random_init(self, scale: str) -> keras.Model:
        """Random weights; the small one has one block of two convolutions."""
        return keras_hub.models.ResNetBackbone(**SCALES[scale], image_shape=(None, None, 3))
