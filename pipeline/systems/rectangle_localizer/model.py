"""The published rectangle localizer: a frozen VGG16 and one dense layer."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from pipeline.systems.common.box_losses import iou_xyxy
from pipeline.systems.common.interfaces import BatchGenerator, ModelFactory, ModelShape, TrainingPhase
from pipeline.systems.rectangle_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.rectangle_localizer.targets import MAX_SIDE_FRACTION, MIN_SIDE_FRACTION, sigmoid_encode


class RectangleLocalizerFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """Builds one dense layer on a frozen pretrained VGG16."""

    def build_model(
        self, config: ModelConfig, targets: TargetsConfig, shape: ModelShape, pretrained: keras.Model | None
    ) -> keras.Model:
        """Build the localizer on the frozen pretrained backbone, see the base class.

        As published, pixels are scaled to 0..1, which is not how VGG16 was trained.

        Returns:
            A model from pixels 0..255 [B, size, size, 3] to `box` float32 [B, 4]: top, left, height and width,
            sigmoid-encoded like the targets.

        """
        assert pretrained is not None, "the system declares pretrained weights"
        image = layers.Input(shape.image, name="image")
        pretrained.trainable = False
        features = layers.Flatten(name="features")(pretrained(layers.Rescaling(1 / 255)(image)))
        box = layers.Dense(4, activation=config.output, name="box", dtype="float32")(features)
        return keras.Model(image, {"box": box}, name="rectangle_localizer")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The dense layer on frozen features.

        The loss is the binary cross-entropy with the encoded box. A layer without a sigmoid predicts values outside
        0..1, for which no cross-entropy exists, and has the squared error instead.
        """
        loss = "binary_crossentropy" if "sigmoid" in config.output else "mean_squared_error"
        losses = {"loss": {"box": loss}, "metrics": {"box": [mean_iou]}}
        return TrainingPhase(model, losses, frozen_until="features")

    def synthetic_batches(self, config: ModelConfig, shape: ModelShape) -> BatchGenerator | None:
        """New rectangles in every step if `model.generate_images` is true; None for the packed images."""
        if not config.generate_images:
            return None
        # Imported here because it is code of the dataset, which training on packed images does not depend on.
        from pipeline.datasets.rectangles.sample import draw_boxes, paint_boxes

        def generate(random: np.random.Generator, count: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
            boxes_xywh = draw_boxes(random, count, shape.image_size)
            images = np.repeat(paint_boxes(boxes_xywh, shape.image_size), shape.channels, axis=3)
            return images, {"box": sigmoid_encode(boxes_xywh / shape.image_size)}

        return generate


def mean_iou(box_true: Any, box_predicted: Any) -> Any:
    """Metric: IoU of each pair of encoded boxes [B, 4], float32 [B]."""
    return iou_xyxy(_decode(box_true), _decode(box_predicted))


def _decode(box: Any) -> Any:
    """Encoded boxes [B, 4] as relative xyxy."""
    encoded = ops.clip(ops.cast(box, "float32"), 1e-6, 1 - 1e-6)
    sides = ops.clip((ops.log(encoded / (1 - encoded)) + 1) / 2, MIN_SIDE_FRACTION, MAX_SIDE_FRACTION)
    top, left, height, width = (sides[..., i : i + 1] for i in range(4))
    return ops.concatenate([left, top, left + width, top + height], axis=-1)
