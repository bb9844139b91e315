"""The published rectangle localizer: VGG16, frozen, and one dense layer."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from pipeline.systems.interfaces import BatchGenerator, ModelFactory, TrainingPhase
from pipeline.systems.layers import mean_iou_xyxy
from pipeline.systems.rectangle_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.rectangle_localizer.targets import LARGEST, SMALLEST, sigmoid_encode


class RectangleLocalizerFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """The published rectangle localizer."""

    def build_model(
        self,
        config: ModelConfig,
        targets: TargetsConfig,
        image_size: int,
        channels: int,
        num_labels: int,
        pretrained: keras.Model | None,
    ) -> keras.Model:
        """Pixels 0..255 [B, size, size, 3] -> `box` [B, 4]: top, left, height, width, as the targets are squeezed.

        As published the network sees 0 and 1, not the pixels that VGG16 was trained with.
        """
        image = layers.Input((image_size, image_size, channels), name="image")
        pretrained.trainable = False
        features = layers.Flatten(name="features")(pretrained(layers.Rescaling(1 / 255)(image)))
        box = layers.Dense(4, activation=config.output, name="box", dtype="float32")(features)
        return keras.Model(image, {"box": box}, name="rectangle_localizer")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The dense layer: binary cross-entropy against the squeezed sides, or squared error where it is linear, since
        there is no entropy of answers beyond 0 and 1.
        """
        loss = "mean_squared_error" if config.output == "linear" else "binary_crossentropy"
        losses = {"loss": {"box": loss}, "metrics": {"box": [mean_iou]}}
        return TrainingPhase(model, losses, frozen_until="features")

    def synthetic_batches(self, config: ModelConfig, image_size: int, channels: int) -> BatchGenerator | None:
        """Rectangles without end, where the model's section asks for them."""
        if not config.endless:
            return None
        # Here, because it is drawing code of the dataset: whoever trains on packed images needs none of it.
        from pipeline.datasets.rectangles.sample import draw_boxes, paint

        def draw(random: np.random.Generator, count: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
            boxes_xywh = draw_boxes(random, count, image_size)
            return np.repeat(paint(boxes_xywh, image_size), channels, axis=3), {
                "box": sigmoid_encode(boxes_xywh / image_size)
            }

        return draw


def mean_iou(box_true: Any, box_predicted: Any) -> Any:
    """IoU of each pair of squeezed boxes [B, 4], float32 [B]."""
    return mean_iou_xyxy(_corners(box_true), _corners(box_predicted))


def _corners(box: Any) -> Any:
    squeezed = ops.clip(ops.cast(box, "float32"), 1e-6, 1 - 1e-6)
    sides = ops.clip((ops.log(squeezed / (1 - squeezed)) + 1) / 2, SMALLEST, LARGEST)
    top, left, height, width = (sides[..., i : i + 1] for i in range(4))
    return ops.concatenate([left, top, left + width, top + height], axis=-1)
