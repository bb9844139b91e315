"""KerasHub's RetinaNet with COCO weights."""

from typing import Any

import keras
import keras_hub

from pipeline.pretrained.config import DETECTOR_FILES
from pipeline.pretrained.initialization import init_head
from pipeline.pretrained.interfaces import PretrainedSource

HANDLE = "retinanet_resnet50_fpn_v2_coco"
NUM_CLASSES = 91
"""COCO's category ids up to 90, and 0 for background."""

SCALES: dict[str, dict[str, Any]] = {
    "published": {
        "encoder": {
            "input_conv_filters": [64],
            "input_conv_kernel_sizes": [7],
            "stackwise_num_filters": [64, 128, 256, 512],
            "stackwise_num_blocks": [3, 4, 6, 3],
            "stackwise_num_strides": [1, 2, 2, 2],
            "block_type": "bottleneck_block",
        },
        "levels": (3, 7),
        "anchor_size": 4,
        "head": {"use_prediction_head_norm": True, "pre_logits_num_conv_layers": 4},
    },
    "small": {
        "encoder": {
            "input_conv_filters": [16],
            "input_conv_kernel_sizes": [3],
            "stackwise_num_filters": [64, 64, 64, 64],
            "stackwise_num_blocks": [1, 1, 1, 1],
            "stackwise_num_strides": [1, 2, 2, 2],
            "block_type": "basic_block_vd",
        },
        "levels": (3, 5),
        "anchor_size": 4,
        "head": {"use_prediction_head_norm": True, "pre_logits_num_conv_layers": 1},
    },
}
# The small encoder with a pyramid that starts one level later, which needs a quarter of the time, and with anchors of
# 16 px and more.
SCALES["coarse"] = {**SCALES["small"], "levels": (4, 6), "anchor_size": 1}


class RetinaNetWeights(PretrainedSource):
    """A whole detector: KerasHub's RetinaNet with COCO weights."""

    files = DETECTOR_FILES
    preset_class = keras_hub.models.RetinaNetObjectDetector

    def load_published(self) -> keras.Model:
        """Fetch RetinaNet with a ResNet-50 and pyramid levels 3 to 7."""
        return self.preset_class.from_preset(HANDLE)

    def random_init(self, scale: str) -> keras.Model:
        """Build a detector with random weights.

        The box head of "coarse" is initialized as in the RetinaNet paper, so that it predicts the anchors themselves.
        KerasHub uses the bias of the class head, -4.6, for both: boxes then are a hundredth of their anchors' size
        and far from them.

        Args:
            scale: "published", or "small" and "coarse" with one block per stage and heads of one convolution.

        """
        parts = SCALES[scale]
        min_level, max_level = parts["levels"]
        encoder = keras_hub.models.ResNetBackbone(**parts["encoder"], image_shape=(None, None, 3))
        backbone = keras_hub.models.RetinaNetBackbone(
            image_encoder=encoder, min_level=min_level, max_level=max_level, use_p5=True
        )
        # Anchors and suppression in pixels: KerasHub's layers are broken for relative boxes.
        anchors = keras_hub.layers.AnchorGenerator(
            "xyxy",
            min_level=min_level,
            max_level=max_level,
            num_scales=3,
            aspect_ratios=[0.5, 1.0, 2.0],
            anchor_size=parts["anchor_size"],
        )
        detector = keras_hub.models.RetinaNetObjectDetector(
            backbone,
            NUM_CLASSES,
            bounding_box_format="rel_xywh",
            anchor_generator=anchors,
            prediction_decoder=keras_hub.layers.NonMaxSuppression("xyxy", from_logits=True),
            **parts["head"],
        )
        if scale == "coarse":
            init_head(detector.box_head, bias=0.0)
        return detector
