"""A localizer that predicts each edge of the box as a distribution along its axis, then classifies the cropped box.

Features are pooled over one axis only, which leaves a profile along the other axis. From it the model predicts the
probability that an edge lies between two neighboring cells (as in distribution focal loss). The predicted box is
cropped from the image at full resolution and classified.
"""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pipeline.systems.common.box_losses import iou_xyxy, xxyy_to_xyxy
from pipeline.systems.common.interfaces import ModelFactory, ModelShape, TrainingPhase
from pipeline.systems.common.layers import convolution
from pipeline.systems.distributional_localizer.config import CropClassifierConfig, ModelConfig, TargetsConfig

PROFILE_KERNEL = 7


class DistributionalLocalizerFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """Edge distributions, and a classifier of the cropped box."""

    def build_model(
        self, config: ModelConfig, targets: TargetsConfig, shape: ModelShape, pretrained: keras.Model | None
    ) -> keras.Model:
        """Build the localizer, see the base class.

        Returns:
            A model from pixels 0..255 [B, size, size, channels] to `edges` [B, 4, positions], the distributions of
            left, right, top and bottom, and, for several classes, `label` [B, num_labels]; both probabilities, float32.

        Raises:
            ValueError: if the image size is not a multiple of the cells, if there is a crop classifier for one class,
                or none for several.

        """
        multiple = 2 ** len(config.filters)
        if shape.image_size % multiple:
            raise ValueError(f"{len(config.filters)} halvings need a side that is a multiple of {multiple} px")
        if shape.num_labels == 1 and config.crop_classifier is not None:
            raise ValueError("there is one class, which needs no crop classifier: set model.crop_classifier to null")
        if shape.num_labels > 1 and config.crop_classifier is None:
            raise ValueError(
                f"{shape.num_labels} classes need a crop classifier: model.crop_classifier must not be null"
            )
        image = layers.Input(shape.image, name="image")
        pixels = layers.Rescaling(1 / 255)(image)
        features = pixels
        for number, filters in enumerate(config.filters):
            features = convolution(features, filters, kernel_size=3 if number else 5, strides=2)
        features = convolution(features, config.filters[-1])
        logits = [_edge_logits(features, axis, config.profile_filters) for axis in (1, 2)]
        edges = layers.Softmax(name="edges", dtype="float32")(layers.Concatenate(axis=1, dtype="float32")(logits))
        outputs = {"edges": edges}
        if config.crop_classifier is not None:
            crop = BoxCrop(config.crop_classifier.crop_size, dtype="float32")(pixels, edges)
            outputs["label"] = _class_probabilities(crop, config.crop_classifier, shape.num_labels)
        return keras.Model(image, outputs, name="distributional_localizer")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The whole model: cross-entropy of the edges, and of the class if there are several."""
        losses: dict[str, Any] = {"edges": edge_loss}
        metrics: dict[str, Any] = {"edges": [mean_iou]}
        if "label" in model.output:
            losses["label"], metrics["label"] = "sparse_categorical_crossentropy", ["accuracy"]
        return TrainingPhase(model, {"loss": losses, "metrics": metrics})


def edge_loss(edges_true: Any, probabilities: Any) -> Any:
    """Cross-entropy of the four edges, as their mean.

    An edge between two positions is distributed over both by linear interpolation, so that the mean of the true
    distribution is the edge itself.

    Args:
        edges_true: left, right, top, bottom in 0..1, [B, 4].
        probabilities: of the positions of each edge, [B, 4, P].

    Returns:
        float32 [B].

    """
    last = probabilities.shape[-1] - 1
    distances = ops.abs(ops.expand_dims(edges_true, -1) * last - np.arange(last + 1, dtype=np.float32))
    weights = ops.relu(1 - distances)
    return -ops.mean(ops.sum(weights * ops.log(probabilities + keras.config.epsilon()), axis=-1), axis=-1)


def mean_iou(edges_true: Any, probabilities: Any) -> Any:
    """Metric: IoU of the true box, edges [B, 4], and the expected box, probabilities [B, 4, P]; float32 [B]."""
    return iou_xyxy(xxyy_to_xyxy(edges_true), xxyy_to_xyxy(expected_edges(probabilities)))


def expected_edges(probabilities: Any) -> Any:
    """The mean of each edge's distribution, [B, 4, P] -> [B, 4] in 0..1."""
    positions = np.linspace(0, 1, probabilities.shape[-1], dtype=np.float32)
    return ops.sum(probabilities * positions, axis=-1)


@keras.saving.register_keras_serializable("boxline")
class BoxCrop(layers.Layer):
    """Crops a box from an image and resizes it to a square: by area averaging if it shrinks, linearly if it grows.

    Each axis is resized on its own. No gradient flows from the crop to the edges.

    Args:
        size_pixels: side of the crop.
        **kwargs: of `keras.layers.Layer`.

    """

    def __init__(self, size_pixels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size_pixels = size_pixels

    def call(self, pixels: Any, edge_probabilities: Any) -> Any:
        """Crop the box of the expected edges.

        Args:
            pixels: [B, size, size, C].
            edge_probabilities: [B, 4, P].

        Returns:
            [B, size_pixels, size_pixels, C].

        """
        left, right, top, bottom = ops.unstack(ops.stop_gradient(expected_edges(edge_probabilities)), axis=1)
        rows = ops.einsum("bip,bpqc->biqc", self._weights(top, bottom, pixels.shape[1]), pixels)
        return ops.einsum("bjq,biqc->bijc", self._weights(left, right, pixels.shape[2]), rows)

    def _weights(self, low: Any, high: Any, count: int) -> Any:
        """The weight of each of `count` pixels in each pixel of the crop along one axis, [B, size_pixels, count]."""
        step = ops.maximum(high - low, 1 / count) * count / self.size_pixels
        fractions = np.arange(self.size_pixels, dtype=np.float32) + 0.5
        centers = ops.expand_dims(low * count, 1) + ops.expand_dims(step, 1) * fractions - 0.5
        centers = ops.clip(centers, 0, count - 1)  # if it grows, the outermost pixels extend to the image's edge
        reach = ops.reshape(ops.maximum(step, 1), (-1, 1, 1))
        distances = ops.abs(ops.expand_dims(centers, -1) - np.arange(count, dtype=np.float32))
        return ops.clip((1 + reach) / 2 - distances, 0, 1) / reach

    def compute_output_shape(self, pixels_shape: Any, edge_probabilities_shape: Any) -> Any:
        """The shape of the crop, [B, size_pixels, size_pixels, C]."""
        return (pixels_shape[0], self.size_pixels, self.size_pixels, pixels_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "size_pixels": self.size_pixels}


def _edge_logits(features: Any, axis: int, filters: int) -> Any:
    """Logits of the lower and the upper edge along one axis, [B, 2, cells + 1], from features [B, cells, cells, C].

    The features are pooled over the other axis, `axis`. Each logit is computed from two neighboring cells: the edge
    lies between them, or on the edge of the image.
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
