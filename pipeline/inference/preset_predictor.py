"""Published weights as a predictor: a KerasHub preset needs no dataset and no training."""

from typing import Any

import keras
import keras_hub
import numpy as np

from pipeline.core.config import parse_config
from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_url
from pipeline.geometry.resize import PIXEL_TRANSFORMS
from pipeline.inference.predictor import Predictor
from pipeline.pretrained.preset import load_detector_preset
from pipeline.pretrained.retinanet import NUM_CLASSES
from pipeline.systems.coco_retinanet.model import RetinaNet, adapt_detector
from pipeline.systems.coco_retinanet.targets import RetinaNetCodec
from pipeline.systems.common.labels import NO_CATEGORY, Labels
from pipeline.systems.common.layers import imagenet_scaling
from pipeline.systems.common.model_metadata import ModelMetadata

MODULE = "coco_retinanet"
PUBLISHED_SIZE = 800
"""Side of the model input of KerasHub's RetinaNets in pixels, for files without a preprocessor."""


TOP_DOWN_LEVEL = 5
"""The highest level of a feature pyramid that is enlarged to the next lower one; KerasHub's layers fail on sizes whose
levels do not halve exactly."""


class PresetRetinaNet(RetinaNet):
    """A RetinaNet that scales pixels as its own preprocessor does.

    Attributes:
        pixel_scaling: a layer from pixels 0..255 to what the backbone expects.

    """

    pixel_scaling: keras.Layer

    def scale_pixels(self, images: Any) -> Any:
        """Pixels 0..255 [B, size, size, 3] as the backbone expects them."""
        return self.pixel_scaling(images)


def load_preset_predictor(source: str) -> Predictor:
    """Load a published RetinaNet with the names of its own classes and the sizes of its own preprocessor.

    Without a preprocessor in its files, images are letterboxed to 800 px and scaled for ImageNet weights, as KerasHub's
    published RetinaNets do.

    Args:
        source: as for `load_detector_preset`.

    Raises:
        BoxlineError: if it cannot be loaded, or its network does not take images of the size that it declares.

    """
    pretrained = load_detector_preset(source)
    name = redact_url(source)
    converter = getattr(pretrained.preprocessor, "image_converter", None)
    metadata = preset_metadata(converter, name)
    stride = 2 ** min(pretrained.backbone.max_level, TOP_DOWN_LEVEL)
    if metadata.image_size % stride:
        raise BoxlineError(
            f"--pretrained: {name} takes images of {metadata.image_size} px, expected a multiple of {stride}, since "
            "its network doubles features of that stride. Give another preset."
        )
    detector = adapt_detector(pretrained, pretrained.num_classes, PresetRetinaNet)
    detector.pixel_scaling = imagenet_scaling() if converter is None else _scaling(converter)
    labels = preset_labels(pretrained.num_classes)
    # A preprocessor that crops images shows the crop to the model, and boxes are relative to the crop.
    return Predictor(detector, RetinaNetCodec(), labels, metadata, name, box_transforms=PIXEL_TRANSFORMS)


def preset_metadata(converter: Any, name: str) -> ModelMetadata:
    """Size and resizing of a KerasHub image converter, of the published ones without one.

    Raises:
        BoxlineError: if it makes images that are not square, or larger than a model input may be.

    """
    height, width = getattr(converter, "image_size", None) or (PUBLISHED_SIZE, PUBLISHED_SIZE)
    if height != width:
        raise BoxlineError(
            f"--pretrained: {name} takes images of {width} x {height} px, expected a square. Give another preset."
        )
    resize = "letterbox"
    if converter is not None and not converter.pad_to_aspect_ratio:
        resize = "crop" if converter.crop_to_aspect_ratio else "stretch"
    content = {"module": MODULE, "image_size": height, "channels": 3, "resize": resize}
    return parse_config(content, ModelMetadata, where="", path=f"--pretrained: {name}")


def preset_labels(num_classes: int) -> Labels:
    """The names of a preset's classes: COCO's if there are 91, of which 0 is the background; else their numbers.

    >>> preset_labels(2).names
    ['class 0', 'class 1']
    """
    if num_classes == NUM_CLASSES:
        names = [keras_hub.utils.coco_id_to_name(label).replace("_", " ") for label in range(num_classes)]
        return Labels(np.arange(num_classes, dtype=np.int32), names)
    # Category id 0 stands for no category, so that ids count from 1.
    first = NO_CATEGORY + 1
    return Labels(np.arange(first, first + num_classes, dtype=np.int32), [f"class {i}" for i in range(num_classes)])


def _scaling(converter: Any) -> keras.Layer:
    """Scale and offset of a KerasHub image converter, as one layer."""
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return keras.layers.Rescaling(scale, offset)
