"""Presets of KerasHub's RetinaNet with small random weights, saved as published ones are."""

from pathlib import Path

import keras
import keras_hub


def write_preset(folder: Path, image_size: tuple[int, int] | None) -> Path:
    """Write a RetinaNet whose preprocessor letterboxes images to `image_size`; None for one without a preprocessor."""
    keras.utils.set_random_seed(7)
    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[8],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64, 64, 64],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block_vd",
        image_shape=(None, None, 3),
    )
    backbone = keras_hub.models.RetinaNetBackbone(image_encoder=encoder, min_level=3, max_level=5, use_p5=True)
    preprocessor = None
    if image_size is not None:
        converter = keras_hub.layers.RetinaNetImageConverter(
            image_size=image_size,
            pad_to_aspect_ratio=True,
            crop_to_aspect_ratio=False,
            scale=[1 / 100, 1 / 200, 1 / 300],
            offset=[-1.0, 0.0, 0.5],
        )
        preprocessor = keras_hub.models.RetinaNetObjectDetectorPreprocessor(image_converter=converter)
    detector = keras_hub.models.RetinaNetObjectDetector(
        backbone,
        91,
        use_prediction_head_norm=True,
        pre_logits_num_conv_layers=1,
        preprocessor=preprocessor,
    )
    detector.save_to_preset(str(folder))
    return folder
