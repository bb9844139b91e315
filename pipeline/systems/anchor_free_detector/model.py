"""A dense detector without anchors: every cell answers a box and how sure it is of each class.

A small residual backbone, a feature pyramid from the top down, and one head that all levels share. Which cells answer
for an object is decided by the answers themselves, task-aligned assignment (Feng et al., TOOD, 2021): the cells inside
it that are surest of its class and overlap it best. Their confidence is taught to be that overlap.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from pipeline.systems.anchor_free_detector.config import ModelConfig, TargetsConfig
from pipeline.systems.interfaces import ModelFactory, TrainingPhase
from pipeline.systems.layers import convolution, generalized_iou_xyxy, iou_xyxy

FIRST_LEVEL = 3
"""Level l has cells of 2^l pixels."""

START_CELLS = 2.0
"""How far a box's edges are from its cell's centre before training, in cells."""

START_LOGIT = -4.0
"""A probability of 0.018 before training, so that the many empty cells do not drown the few with objects."""

BOX_WEIGHT = 2.0
CLASS_POWER, OVERLAP_POWER = 0.5, 4.0
"""How well a cell is aligned with an object: probability^0.5 x IoU^4."""


class AnchorFreeDetectorFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """Backbone, feature pyramid, and one head that all pyramid levels share."""

    def build_model(
        self,
        config: ModelConfig,
        targets: TargetsConfig,
        image_size: int,
        channels: int,
        num_labels: int,
        pretrained: keras.Model | None,
    ) -> keras.Model:
        """Pixels 0..255 [B, size, size, channels] -> `boxes` [B, L, 4 + num_labels]: rel xyxy and logits of each cell.

        Cells come level after level, row after row.

        Raises ValueError where the cells of the last level do not divide the image.
        """
        if image_size % 2 ** len(config.stages):
            raise ValueError(
                f"{len(config.stages)} stages need a side that is a multiple of {2 ** len(config.stages)} px"
            )
        image = layers.Input((image_size, image_size, channels), name="image")
        levels = _pyramid(_backbone(layers.Rescaling(1 / 127.5, -1)(image), config), config.pyramid_filters)
        tower = layers.Conv2D(config.pyramid_filters, 3, padding="same", use_bias=False)
        distance = layers.Conv2D(4, 3, padding="same", dtype="float32")
        start = keras.initializers.Constant(START_LOGIT)
        logit = layers.Conv2D(num_labels, 3, padding="same", bias_initializer=start, dtype="float32")
        answers = []
        for features in levels:
            # Levels share filters, not averages: those of one level would be wrong for the others.
            features = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(tower(features)))
            side = features.shape[1]
            distances = ops.exp(layers.Reshape((-1, 4), dtype="float32")(distance(features))) * (START_CELLS / side)
            centers = cell_centers([side])
            corners = [ops.subtract(centers, distances[..., :2]), ops.add(centers, distances[..., 2:])]
            logits = layers.Reshape((-1, num_labels), dtype="float32")(logit(features))
            answers.append(ops.concatenate([*corners, logits], axis=-1))
        boxes = layers.Concatenate(axis=1, name="boxes", dtype="float32")(answers)
        return keras.Model(image, {"boxes": boxes}, name="anchor_free_detector")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The whole network."""
        sides = [model.input_shape[1] // 2**level for level in range(FIRST_LEVEL, len(config.stages) + 1)]
        return TrainingPhase(model, {"loss": {"boxes": DenseLoss(sides, config.topk)}})


def cell_centers(sides: Sequence[int]) -> NDArray[np.float32]:
    """The centre of each cell, x and y as fractions, level after level, row after row, [L, 2].

    >>> cell_centers([1, 2]).tolist()
    [[0.5, 0.5], [0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    grids = [np.meshgrid(*[(np.arange(side) + 0.5) / side] * 2) for side in sides]
    return np.concatenate([np.stack(grid, axis=-1).reshape(-1, 2) for grid in grids]).astype(np.float32)


class DenseLoss(keras.losses.Loss):
    """Cross-entropy of every cell and generalized IoU of the matched ones, by the sum of their confidences.

    sides: cells along one side of each level. candidates: cells at most that are matched to one object.
    """

    def __init__(self, sides: Sequence[int], topk: int) -> None:
        super().__init__(name="dense_loss", reduction=None)
        self._centers = cell_centers(sides)
        self._cell_sizes = np.concatenate([np.full(side * side, 1 / side, np.float32) for side in sides])
        self._topk = topk

    def call(self, boxes_true: Any, boxes_predicted: Any) -> Any:
        """Boxes [B, M, 6] as encoded and answers [B, L, 4 + num_labels] -> the loss of the batch, one number."""
        corners, logits = boxes_predicted[..., :4], boxes_predicted[..., 4:]
        confidences = self.match(boxes_true, corners, ops.sigmoid(logits))
        of_cells = ops.sum(confidences, axis=1)
        total = ops.maximum(ops.sum(of_cells), 1)
        of_labels = ops.einsum("bml,bmk->blk", confidences, _one_hot(boxes_true, logits.shape[-1]))
        has_loss = ops.logical_or(of_cells > 0, ops.logical_not(self._in_crowd(boxes_true)))
        entropies = ops.where(ops.expand_dims(has_loss, -1), ops.softplus(logits) - of_labels * logits, 0.0)
        matched = ops.einsum("bml,bmc->blc", ops.cast(confidences > 0, "float32"), boxes_true[..., :4])
        box_losses = of_cells * (1 - generalized_iou_xyxy(matched, corners))
        return (ops.sum(entropies) + BOX_WEIGHT * ops.sum(box_losses)) / total

    def match(self, boxes_true: Any, corners: Any, probabilities: Any) -> Any:
        """The confidence in each object that each cell [B, L] is to have, [B, M, L] in 0..1; in one object at most.

        That of an object's best cell is the best IoU that its cells reach, the others' are in proportion to their
        alignment. Nothing is learned through the choice, and nothing from an object that no candidate overlaps.
        """
        corners, probabilities = ops.stop_gradient(corners), ops.stop_gradient(probabilities)
        overlaps = iou_xyxy(ops.expand_dims(boxes_true[..., :4], 2), ops.expand_dims(corners, 1))
        of_class = ops.einsum("bmk,blk->bml", _one_hot(boxes_true, probabilities.shape[-1]), probabilities)
        alignment = of_class**CLASS_POWER * overlaps**OVERLAP_POWER + keras.config.epsilon()
        alignment = ops.where(self._is_candidate(boxes_true), alignment, 0.0)
        last_candidate = ops.top_k(alignment, min(self._topk, alignment.shape[-1]))[0][..., -1:]
        alignment = ops.where(alignment >= last_candidate, alignment, 0.0)
        alignment = alignment * ops.one_hot(ops.argmax(alignment, axis=1), alignment.shape[1], axis=1)
        best_overlap = ops.max(ops.where(alignment > 0, overlaps, 0.0), axis=-1, keepdims=True)
        return ops.divide_no_nan(alignment, ops.max(alignment, axis=-1, keepdims=True)) * best_overlap

    def _is_candidate(self, boxes_true: Any) -> Any:
        """Cells with their centre in the object, and those that hold the object's centre, bool [B, M, L]."""
        is_object = ops.logical_and(boxes_true[..., 4] >= 0, boxes_true[..., 5] == 0)
        middle = ops.expand_dims((boxes_true[..., :2] + boxes_true[..., 2:4]) / 2, 2)
        holds = ops.max(ops.abs(self._centers - middle), axis=-1) <= self._cell_sizes / 2
        return ops.logical_and(ops.logical_or(self._inside(boxes_true), holds), ops.expand_dims(is_object, -1))

    def _in_crowd(self, boxes_true: Any) -> Any:
        """Cells with their centre in a crowd region, bool [B, L]."""
        return ops.any(ops.logical_and(self._inside(boxes_true), boxes_true[..., 5:] > 0), axis=1)

    def _inside(self, boxes_true: Any) -> Any:
        low, high = ops.expand_dims(boxes_true[..., :2], 2), ops.expand_dims(boxes_true[..., 2:4], 2)
        return ops.all(ops.logical_and(self._centers > low, self._centers < high), axis=-1)


def _one_hot(boxes_true: Any, num_labels: int) -> Any:
    """The labels [B, M, num_labels]; of padding all 0."""
    return ops.one_hot(ops.cast(boxes_true[..., 4], "int32"), num_labels)


def _backbone(x: Any, config: ModelConfig) -> list[Any]:
    """The features of the stages that become levels."""
    features = []
    for stage in config.stages:
        x = convolution(x, stage.filters, strides=2)
        for _ in range(stage.blocks):
            x = layers.Add()([x, convolution(convolution(x, stage.filters // 2, kernel_size=1), stage.filters)])
        features.append(x)
    return features[FIRST_LEVEL - 1 :]


def _pyramid(features: list[Any], filters: int) -> list[Any]:
    """Each level with what the coarser ones know, the finest first."""
    levels: list[Any] = []
    for x in reversed(features):
        x = layers.Conv2D(filters, 1)(x)
        if levels:
            x = layers.Add()([x, layers.UpSampling2D()(levels[0])])
        levels.insert(0, convolution(x, filters))
    return levels
