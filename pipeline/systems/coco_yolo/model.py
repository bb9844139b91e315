"""The published grid detector: a ResNet, one convolution and two dense layers, with the losses of YOLOv1."""

from typing import Any

import keras
from keras import layers, ops

from pipeline.systems.coco_yolo.config import ModelConfig, TargetsConfig
from pipeline.systems.coco_yolo.targets import IGNORE
from pipeline.systems.common.interfaces import ModelFactory, ModelShape, TrainingPhase
from pipeline.systems.common.layers import imagenet_scaling

CENTER_WEIGHT = 5.0
SIZE_WEIGHT = 5.0
EMPTY_CELL_WEIGHT = 0.5


class CocoYoloFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """Builds one convolution and two dense layers on a pretrained ResNet, with the losses of YOLOv1."""

    def build_model(
        self, config: ModelConfig, targets: TargetsConfig, shape: ModelShape, pretrained: keras.Model | None
    ) -> keras.Model:
        """Build the detector on the pretrained backbone, see the base class.

        Returns:
            A model from RGB pixels 0..255 [B, size, size, 3] to `box` [B, S, S, 5 n], for n boxes per cell, and
            `class` [B, S, S, num_labels], probabilities; both float32.

        """
        assert pretrained is not None, "the system declares pretrained weights"
        grid, numbers = targets.grid_size, 5 * targets.boxes_per_cell
        image = layers.Input(shape.image, name="image")
        x = pretrained(imagenet_scaling()(image))
        x = layers.Conv2D(config.conv_filters, 3, strides=2)(x)
        x = layers.Flatten()(x)
        x = layers.Dense(config.dense_units, activation="relu", kernel_initializer="glorot_normal")(x)
        x = layers.Dropout(config.dropout)(x)
        x = layers.Dense(grid * grid * (numbers + shape.num_labels), dtype="float32")(x)
        x = layers.Reshape((grid, grid, numbers + shape.num_labels))(x)
        outputs = {
            "box": layers.Identity(name="box", dtype="float32")(x[..., :numbers]),
            "class": layers.Activation("softmax", name="class", dtype="float32")(x[..., numbers:]),
        }
        return keras.Model(image, outputs, name="coco_yolo")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The whole model with `box_loss` and the cross-entropy of each cell's class."""
        class_loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=IGNORE)
        return TrainingPhase(model, {"loss": {"box": box_loss, "class": class_loss}})


def box_loss(box_true: Any, box_predicted: Any) -> Any:
    """The loss of YOLOv1 for boxes and confidences, summed over the boxes of all cells of an image.

    Each predicted box is compared with the true box in the same place of the same cell. With a true box, the loss is
    the squared error of the center and of the signed square roots of width and height, both weighted 5, and of the
    confidence against the IoU of both boxes. Without a true box, it is half the squared confidence. Places with a true
    confidence of IGNORE have no loss.

    Args:
        box_true: [B, S, S, 5 n].
        box_predicted: [B, S, S, 5 n].

    Returns:
        float32 [B].

    """
    box_true, box_predicted = _by_box(box_true), _by_box(box_predicted)
    has_object = ops.maximum(box_true[..., 4], 0)
    is_empty = ops.cast(ops.equal(box_true[..., 4], 0), "float32")
    center_error = ops.sum(ops.square(box_true[..., :2] - box_predicted[..., :2]), axis=-1)
    size_error = ops.sum(ops.square(_signed_sqrt(box_true[..., 2:4]) - _signed_sqrt(box_predicted[..., 2:4])), axis=-1)
    confidence = box_predicted[..., 4]
    with_object = (
        CENTER_WEIGHT * center_error
        + SIZE_WEIGHT * size_error
        + ops.square(box_iou(box_true, box_predicted) - confidence)
    )
    without_object = EMPTY_CELL_WEIGHT * ops.square(confidence)
    return ops.sum(has_object * with_object + is_empty * without_object, axis=(1, 2, 3))


def box_iou(boxes_a: Any, boxes_b: Any) -> Any:
    """IoU of boxes in the detector's own units.

    As published, centers are in cells and sizes in fractions of the image, so this is the IoU of boxes drawn at mixed
    scales.

    Args:
        boxes_a: center x, center y, width, height, [..., 4 or more].
        boxes_b: the same.

    Returns:
        [...] in 0..1; 0 for boxes without area.

    """
    half_a, half_b = ops.maximum(boxes_a[..., 2:4], 0) / 2, ops.maximum(boxes_b[..., 2:4], 0) / 2
    low = ops.maximum(boxes_a[..., :2] - half_a, boxes_b[..., :2] - half_b)
    high = ops.minimum(boxes_a[..., :2] + half_a, boxes_b[..., :2] + half_b)
    intersection = ops.prod(ops.maximum(high - low, 0), axis=-1)
    union = ops.prod(2 * half_a, axis=-1) + ops.prod(2 * half_b, axis=-1) - intersection
    return ops.divide_no_nan(intersection, union)


def _by_box(boxes: Any) -> Any:
    """[B, S, S, 5 n] -> [B, S, S, n, 5], float32."""
    _, rows, columns, numbers = boxes.shape
    return ops.reshape(ops.cast(boxes, "float32"), (-1, rows, columns, numbers // 5, 5))


def _signed_sqrt(x: Any) -> Any:
    # Epsilon keeps the gradient finite at 0, where that of the square root is infinite.
    return ops.sign(x) * ops.sqrt(ops.absolute(x) + keras.config.epsilon())
