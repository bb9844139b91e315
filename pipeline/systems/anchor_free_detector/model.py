"""An anchor-free dense detector: every cell of a feature pyramid predicts a box and a score per class.

A small residual backbone, a top-down feature pyramid, and one head that all levels share. Cells are assigned to objects
in every step from the current predictions (task-aligned assignment, Feng et al., TOOD, 2021).
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from pipeline.systems.anchor_free_detector.config import ModelConfig, TargetsConfig
from pipeline.systems.common.box_losses import generalized_iou_xyxy, iou_xyxy
from pipeline.systems.common.interfaces import ModelFactory, ModelShape, TrainingPhase
from pipeline.systems.common.layers import convolution

FIRST_LEVEL = 3
"""The finest pyramid level. Level l has cells of 2^l pixels."""

INITIAL_DISTANCE_CELLS = 2.0
"""Distance from a cell's center to the edges of its box before training, in cells."""

INITIAL_LOGIT = -4.0
"""A probability of 0.018 before training, so that the many empty cells do not dominate the loss."""

BOX_WEIGHT = 2.0

CLASS_POWER, IOU_POWER = 0.5, 4.0
"""The alignment of a cell with an object is probability^0.5 x IoU^4."""


class AnchorFreeDetectorFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """Backbone, feature pyramid, and one head that all pyramid levels share."""

    def build_model(
        self, config: ModelConfig, targets: TargetsConfig, shape: ModelShape, pretrained: keras.Model | None
    ) -> keras.Model:
        """Build the detector, see the base class.

        Returns:
            A model from pixels 0..255 [B, size, size, channels] to `boxes` float32 [B, L, 4 + num_labels]: relative
            xyxy and one logit per class for each cell, level after level, row after row.

        Raises:
            ValueError: if the image size is not a multiple of the coarsest cells.

        """
        multiple = 2 ** len(config.stages)
        if shape.image_size % multiple:
            raise ValueError(f"{len(config.stages)} stages need a side that is a multiple of {multiple} px")
        image = layers.Input(shape.image, name="image")
        pyramid = _pyramid(_backbone(layers.Rescaling(1 / 127.5, -1)(image), config), config.pyramid_filters)
        shared_head = layers.Conv2D(config.pyramid_filters, 3, padding="same", use_bias=False)
        distance = layers.Conv2D(4, 3, padding="same", dtype="float32")
        initial_bias = keras.initializers.Constant(INITIAL_LOGIT)
        logit = layers.Conv2D(shape.num_labels, 3, padding="same", bias_initializer=initial_bias, dtype="float32")
        predictions = []
        for features in pyramid:
            # Levels share the filters but not the moving averages: their features are distributed differently.
            features = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(shared_head(features)))
            side = features.shape[1]
            log_distances = layers.Reshape((-1, 4), dtype="float32")(distance(features))
            distances = ops.exp(log_distances) * (INITIAL_DISTANCE_CELLS / side)
            centers = cell_centers([side])
            corners = [ops.subtract(centers, distances[..., :2]), ops.add(centers, distances[..., 2:])]
            logits = layers.Reshape((-1, shape.num_labels), dtype="float32")(logit(features))
            predictions.append(ops.concatenate([*corners, logits], axis=-1))
        boxes = layers.Concatenate(axis=1, name="boxes", dtype="float32")(predictions)
        return keras.Model(image, {"boxes": boxes}, name="anchor_free_detector")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The whole model with `DenseLoss`."""
        sides = [model.input_shape[1] // 2**level for level in range(FIRST_LEVEL, len(config.stages) + 1)]
        return TrainingPhase(model, {"loss": {"boxes": DenseLoss(sides, config.topk)}})


def cell_centers(sides: Sequence[int]) -> NDArray[np.float32]:
    """The center of each cell, level after level, row after row.

    Args:
        sides: cells along one side of each level.

    Returns:
        x and y as fractions of the image, float32 [L, 2].

    >>> cell_centers([1, 2]).tolist()
    [[0.5, 0.5], [0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]

    """
    grids = [np.meshgrid(*[(np.arange(side) + 0.5) / side] * 2) for side in sides]
    return np.concatenate([np.stack(grid, axis=-1).reshape(-1, 2) for grid in grids]).astype(np.float32)


class TaskAlignedAssigner:
    """Assigns cells to objects by their alignment: class probability and IoU of their current predictions.

    Candidates for an object are the cells whose center lies inside it, and the cell that contains its center.

    Args:
        sides: cells along one side of each pyramid level.
        topk: the most cells that are assigned to one object.

    """

    def __init__(self, sides: Sequence[int], topk: int) -> None:
        self._centers = cell_centers(sides)
        self._cell_sizes = np.concatenate([np.full(side * side, 1 / side, np.float32) for side in sides])
        self._topk = topk

    def assign(self, boxes_true: Any, boxes_predicted: Any, probabilities: Any) -> Any:
        """The target confidence of each cell for each object. A cell has at most one object. No gradient flows through.

        The best cell of an object gets the highest IoU that any of its assigned cells reaches, the other cells get
        less in proportion to their alignment. If no candidate overlaps an object, all its confidences are 0.

        Args:
            boxes_true: xyxy, label and crowd flag, [B, M, 6].
            boxes_predicted: xyxy [B, L, 4].
            probabilities: per class, [B, L, num_labels].

        Returns:
            float32 [B, M, L] in 0..1.

        """
        boxes_predicted, probabilities = ops.stop_gradient(boxes_predicted), ops.stop_gradient(probabilities)
        overlaps = iou_xyxy(ops.expand_dims(boxes_true[..., :4], 2), ops.expand_dims(boxes_predicted, 1))
        class_probabilities = ops.einsum("bmk,blk->bml", _one_hot(boxes_true, probabilities.shape[-1]), probabilities)
        alignment = class_probabilities**CLASS_POWER * overlaps**IOU_POWER + keras.config.epsilon()
        alignment = ops.where(self._is_candidate(boxes_true), alignment, 0.0)
        lowest_assigned = ops.top_k(alignment, min(self._topk, alignment.shape[-1]))[0][..., -1:]
        alignment = ops.where(alignment >= lowest_assigned, alignment, 0.0)
        alignment = alignment * ops.one_hot(ops.argmax(alignment, axis=1), alignment.shape[1], axis=1)
        best_overlap = ops.max(ops.where(alignment > 0, overlaps, 0.0), axis=-1, keepdims=True)
        return ops.divide_no_nan(alignment, ops.max(alignment, axis=-1, keepdims=True)) * best_overlap

    def in_crowd(self, boxes_true: Any) -> Any:
        """Whether the center of each cell lies in a crowd region, bool [B, L]."""
        return ops.any(ops.logical_and(self._inside(boxes_true), boxes_true[..., 5:] > 0), axis=1)

    def _is_candidate(self, boxes_true: Any) -> Any:
        """Whether each cell may be assigned to each object, bool [B, M, L]."""
        is_object = ops.logical_and(boxes_true[..., 4] >= 0, boxes_true[..., 5] == 0)
        centers = ops.expand_dims((boxes_true[..., :2] + boxes_true[..., 2:4]) / 2, 2)
        holds_center = ops.max(ops.abs(self._centers - centers), axis=-1) <= self._cell_sizes / 2
        near = ops.logical_or(self._inside(boxes_true), holds_center)
        return ops.logical_and(near, ops.expand_dims(is_object, -1))

    def _inside(self, boxes_true: Any) -> Any:
        """Whether the center of each cell lies inside each box, bool [B, M, L]."""
        low, high = ops.expand_dims(boxes_true[..., :2], 2), ops.expand_dims(boxes_true[..., 2:4], 2)
        return ops.all(ops.logical_and(self._centers > low, self._centers < high), axis=-1)


class DenseLoss(keras.losses.Loss):
    """Binary cross-entropy of every cell, and generalized IoU of the assigned cells, over the sum of confidences.

    Cells with their center in a crowd region have no loss unless they are assigned to an object.

    Args:
        sides: cells along one side of each pyramid level.
        topk: the most cells that are assigned to one object.

    """

    def __init__(self, sides: Sequence[int], topk: int) -> None:
        super().__init__(name="dense_loss", reduction=None)
        self._assigner = TaskAlignedAssigner(sides, topk)

    def call(self, boxes_true: Any, boxes_predicted: Any) -> Any:
        """The loss of a batch, one number.

        Args:
            boxes_true: xyxy, label and crowd flag, padded with label -1, [B, M, 6].
            boxes_predicted: xyxy and logits of each cell, [B, L, 4 + num_labels].

        """
        corners, logits = boxes_predicted[..., :4], boxes_predicted[..., 4:]
        confidences = self._assigner.assign(boxes_true, corners, ops.sigmoid(logits))
        cell_confidences = ops.sum(confidences, axis=1)
        total = ops.maximum(ops.sum(cell_confidences), 1)
        class_confidences = ops.einsum("bml,bmk->blk", confidences, _one_hot(boxes_true, logits.shape[-1]))
        has_loss = ops.logical_or(cell_confidences > 0, ops.logical_not(self._assigner.in_crowd(boxes_true)))
        entropies = ops.softplus(logits) - class_confidences * logits
        entropies = ops.where(ops.expand_dims(has_loss, -1), entropies, 0.0)
        assigned = ops.einsum("bml,bmc->blc", ops.cast(confidences > 0, "float32"), boxes_true[..., :4])
        box_losses = cell_confidences * (1 - generalized_iou_xyxy(assigned, corners))
        return (ops.sum(entropies) + BOX_WEIGHT * ops.sum(box_losses)) / total


def _one_hot(boxes_true: Any, num_labels: int) -> Any:
    """The labels as [B, M, num_labels]; all 0 for padding."""
    return ops.one_hot(ops.cast(boxes_true[..., 4], "int32"), num_labels)


def _backbone(x: Any, config: ModelConfig) -> list[Any]:
    """The features of the stages that become pyramid levels, the finest first."""
    features = []
    for stage in config.stages:
        x = convolution(x, stage.filters, strides=2)
        for _ in range(stage.blocks):
            x = layers.Add()([x, convolution(convolution(x, stage.filters // 2, kernel_size=1), stage.filters)])
        features.append(x)
    return features[FIRST_LEVEL - 1 :]


def _pyramid(features: list[Any], filters: int) -> list[Any]:
    """A top-down feature pyramid, the finest level first: each level is added to the upsampled coarser one."""
    pyramid: list[Any] = []
    for x in reversed(features):
        x = layers.Conv2D(filters, 1)(x)
        if pyramid:
            x = layers.Add()([x, layers.UpSampling2D()(pyramid[0])])
        pyramid.insert(0, convolution(x, filters))
    return pyramid
