"""The published grid detector: a ResNet, one convolution, two dense layers, and the losses of YOLOv1."""

from typing import Any

import keras
from keras import layers, ops

from pipeline.systems.coco_yolo.config import ModelConfig, TargetsConfig
from pipeline.systems.coco_yolo.targets import IGNORE
from pipeline.systems.interfaces import ModelFactory, TrainingPhase
from pipeline.systems.layers import imagenet_scaling

CENTER_WEIGHT = 5.0
SIZE_WEIGHT = 5.0
EMPTY_CELL_WEIGHT = 0.5


class CocoYoloFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """The published grid detector."""

    def build_model(
        self,
        config: ModelConfig,
        targets: TargetsConfig,
        image_size: int,
        channels: int,
        num_labels: int,
        pretrained: keras.Model | None,
    ) -> keras.Model:
        """Pixels 0..255 RGB [B, size, size, 3] -> `box` [B, S, S, 5 n] and `class` [B, S, S, num_labels] probabilities.

        `pretrained` is the backbone. n is the number of boxes per cell.
        """
        grid, numbers = targets.grid_size, 5 * targets.boxes_per_cell
        image = layers.Input((image_size, image_size, channels), name="image")
        x = pretrained(imagenet_scaling()(image))
        x = layers.Conv2D(config.conv_filters, 3, strides=2)(x)
        x = layers.Flatten()(x)
        x = layers.Dense(config.dense_units, activation="relu", kernel_initializer="glorot_normal")(x)
        x = layers.Dropout(config.dropout)(x)
        x = layers.Dense(grid * grid * (numbers + num_labels), dtype="float32")(x)
        x = layers.Reshape((grid, grid, numbers + num_labels))(x)
        outputs = {
            "box": layers.Identity(name="box", dtype="float32")(x[..., :numbers]),
            "class": layers.Activation("softmax", name="class", dtype="float32")(x[..., numbers:]),
        }
        return keras.Model(image, outputs, name="coco_yolo")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The whole network: the box loss below, and cross-entropy of each cell's class."""
        class_loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=IGNORE)
        return TrainingPhase(model, {"loss": {"box": box_loss, "class": class_loss}})


def box_loss(box_true: Any, box_predicted: Any) -> Any:
    """[B, S, S, 5 n] twice -> loss [B], float32, summed over the n boxes of the cells of each image.

    A box is compared with the true one in its place. Where there is one: squared errors of the centre and of the signed
    square roots of width and height, both weighted 5, and of the confidence against the boxes' IoU. Where there is
    none: half the squared confidence. Where nothing is asked, at a true confidence of -1: nothing.
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
    """IoU of [..., 4 or more] boxes (centre x, centre y, width, height), [...] in 0..1; 0 where nothing is covered.

    As published, centres count in cells and sizes in images, so this is the IoU of boxes drawn at those mixed scales.
    """
    half_a, half_b = ops.maximum(boxes_a[..., 2:4], 0) / 2, ops.maximum(boxes_b[..., 2:4], 0) / 2
    low = ops.maximum(boxes_a[..., :2] - half_a, boxes_b[..., :2] - half_b)
    high = ops.minimum(boxes_a[..., :2] + half_a, boxes_b[..., :2] + half_b)
    shared = ops.prod(ops.maximum(high - low, 0), axis=-1)
    union = ops.prod(2 * half_a, axis=-1) + ops.prod(2 * half_b, axis=-1) - shared
    return ops.divide_no_nan(shared, union)


def _by_box(boxes: Any) -> Any:
    """[B, S, S, 5 n] -> [B, S, S, n, 5], float32."""
    _, rows, columns, numbers = boxes.shape
    return ops.reshape(ops.cast(boxes, "float32"), (-1, rows, columns, numbers // 5, 5))


def _signed_sqrt(x: Any) -> Any:
    # epsilon keeps the slope finite at 0, where the true slope is infinite
    return ops.sign(x) * ops.sqrt(ops.absolute(x) + keras.config.epsilon())
