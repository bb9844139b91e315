"""A localizer that predicts each edge of the box as a probability distribution along its axis (as distribution focal
loss does), then crops the box and classifies the crop.

Features are pooled over one axis only, which leaves a profile along the other axis: each edge of the box has a
probability between any two cells. The predicted box is cropped from the image at full resolution and classified.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pipeline.systems.distributional_localizer.config import CropClassifierConfig, ModelConfig, TargetsConfig
from pipeline.systems.interfaces import ModelFactory, TrainingPhase
from pipeline.systems.layers import convolution, mean_iou_xyxy

PROFILE_KERNEL = 7


class DistributionalLocalizerFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """Edge distributions, and a classifier of the cropped box."""

    def build_model(
        self,
        config: ModelConfig,
        targets: TargetsConfig,
        image_size: int,
        channels: int,
        num_labels: int,
        pretrained: keras.Model | None,
    ) -> keras.Model:
        """Pixels 0..255 [B, size, size, channels] -> `edges` [B, 4, positions] and, of several classes, `label`
        [B, num_labels], both probabilities.

        Raises ValueError if the cells of the last halving do not divide the image, if there is a crop classifier for one
        class, or none for several.
        """
        if image_size % 2 ** len(config.filters):
            raise ValueError(
                f"{len(config.filters)} halvings need a side that is a multiple of {2 ** len(config.filters)} px"
            )
        if num_labels == 1 and config.crop_classifier is not None:
            raise ValueError("there is one class, which needs no crop classifier: set model.crop_classifier to null")
        if num_labels > 1 and config.crop_classifier is None:
            raise ValueError(f"{num_labels} classes need a crop classifier: model.crop_classifier must not be null")
        image = layers.Input((image_size, image_size, channels), name="image")
        pixels = layers.Rescaling(1 / 255)(image)
        features = pixels
        for number, filters in enumerate(config.filters):
            features = convolution(features, filters, kernel_size=3 if number else 5, strides=2)
        features = convolution(features, config.filters[-1])
        logits = [_edges_along(features, axis, config.profile_filters) for axis in (1, 2)]
        edges = layers.Softmax(name="edges", dtype="float32")(layers.Concatenate(axis=1, dtype="float32")(logits))
        outputs = {"edges": edges}
        if config.crop_classifier is not None:
            crop = BoxCrop(config.crop_classifier.crop_size, dtype="float32")(pixels, edges)
            outputs["label"] = _class_probabilities(crop, config.crop_classifier, num_labels)
        return keras.Model(image, outputs, name="distributional_localizer")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The whole network: cross-entropy of the edges' positions, and of the class where there are several."""
        losses: dict[str, Any] = {"edges": edge_loss}
        metrics: dict[str, Any] = {"edges": [mean_iou]}
        if "label" in model.output:
            losses["label"], metrics["label"] = "sparse_categorical_crossentropy", ["accuracy"]
        return TrainingPhase(model, {"loss": losses, "metrics": metrics})


def edge_loss(edges_true: Any, probabilities: Any) -> Any:
    """Edges [B, 4] in 0..1 and probabilities of positions [B, 4, P] -> cross-entropy, mean of the four, float32 [B].

    An edge between two positions is shared by both, the nearer one getting more: their mean is then the edge itself.
    """
    last = probabilities.shape[-1] - 1
    distances = ops.abs(ops.expand_dims(edges_true, -1) * last - np.arange(last + 1, dtype=np.float32))
    shares = ops.relu(1 - distances)
    return -ops.mean(ops.sum(shares * ops.log(probabilities + keras.config.epsilon()), axis=-1), axis=-1)


def mean_iou(edges_true: Any, probabilities: Any) -> Any:
    """IoU of each pair of boxes, float32 [B]."""
    return mean_iou_xyxy(_corners(edges_true), _corners(expected_edges(probabilities)))


def expected_edges(probabilities: Any) -> Any:
    """Means of the positions from 0 to 1, [B, 4, P] -> [B, 4]."""
    positions = np.linspace(0, 1, probabilities.shape[-1], dtype=np.float32)
    return ops.sum(probabilities * positions, axis=-1)


@keras.saving.register_keras_serializable("boxline")
class BoxCrop(layers.Layer):
    """The image inside a box, scaled to a square of `size_pixels` pixels, each axis on its own, by areas where it shrinks.

    No gradient flows from the crop to the edges.
    """

    def __init__(self, size_pixels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size_pixels = size_pixels

    def call(self, pixels: Any, edge_probabilities: Any) -> Any:
        """Pixels [B, size, size, C] and probabilities [B, 4, P] -> [B, size_pixels, size_pixels, C]."""
        left, right, top, bottom = ops.unstack(ops.stop_gradient(expected_edges(edge_probabilities)), axis=1)
        seen = ops.einsum("bip,bpqc->biqc", self._weights(top, bottom, pixels.shape[1]), pixels)
        return ops.einsum("bjq,biqc->bijc", self._weights(left, right, pixels.shape[2]), seen)

    def _weights(self, low: Any, high: Any, count: int) -> Any:
        """How much each of `count` pixels contributes to each pixel of the crop, [B, size_pixels, count]."""
        step = ops.maximum(high - low, 1 / count) * count / self.size_pixels
        fractions = np.arange(self.size_pixels, dtype=np.float32) + 0.5
        centers = ops.expand_dims(low * count, 1) + ops.expand_dims(step, 1) * fractions - 0.5
        centers = ops.clip(centers, 0, count - 1)  # where it enlarges, outermost pixels reach to the image's edge
        reach = ops.reshape(ops.maximum(step, 1), (-1, 1, 1))
        distances = ops.abs(ops.expand_dims(centers, -1) - np.arange(count, dtype=np.float32))
        return ops.clip((1 + reach) / 2 - distances, 0, 1) / reach

    def compute_output_shape(self, pixels_shape: Any, edge_probabilities_shape: Any) -> Any:
        """Of `call`."""
        return (pixels_shape[0], self.size_pixels, self.size_pixels, pixels_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """With the size."""
        return {**super().get_config(), "size_pixels": self.size_pixels}


def _edges_along(features: Any, axis: int, filters: int) -> Any:
    """Features [B, cells, cells, C], pooled over `axis` -> logits [B, 2, cells + 1] of the lower and the upper edge.

    Each value looks at two neighbouring cells: an edge lies between them, or on the image's own edge.
    """
    profile = layers.Concatenate()([ops.max(features, axis=axis), ops.mean(features, axis=axis)])
    for _ in range(2):
        profile = layers.Conv1D(filters, PROFILE_KERNEL, padding="same", use_bias=False)(profile)
        profile = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(profile))
    logits = layers.Conv1D(2, 2, dtype="float32")(layers.ZeroPadding1D(1)(profile))
    return layers.Permute((2, 1), dtype="float32")(logits)


def _class_probabilities(crop: Any, config: CropClassifierConfig, num_labels: int) -> Any:
    for number, filters in enumerate(config.filters):
        crop = convolution(layers.MaxPooling2D(2)(crop) if number else crop, filters)
    crop = layers.Dropout(config.dropout)(layers.Flatten()(crop))
    return layers.Dense(num_labels, activation="softmax", name="label", dtype="float32")(crop)


def _corners(edges: Any) -> Any:
    return ops.stack([edges[..., 0], edges[..., 2], edges[..., 1], edges[..., 3]], axis=-1)
