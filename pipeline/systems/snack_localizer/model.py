"""The published snack localizer: a MobileNet becomes a classifier, then, frozen, carries two heads."""

from typing import Any

import keras
from keras import layers, ops

from pipeline.systems.interfaces import Part
from pipeline.systems.layers import mean_iou_xyxy
from pipeline.systems.snack_localizer.config import Model, Targets

BOX_WEIGHT = 10.0


def build_model(
    model: Model, _: Targets, image_size: int, channels: int, num_labels: int, preset: keras.Model
) -> keras.Model:
    """Pixels 0..255 RGB -> `class_prediction` [B, num_labels] probabilities and `bbox_prediction` [B, 4], linear.

    Both stages are made of these layers: the class head that the first stage trains is the one that the second has.
    """
    image = layers.Input((image_size, image_size, channels), name="image")
    backbone = keras.Model(preset.inputs[0], preset.outputs[0], name="backbone")
    features = layers.Identity(name="features")(backbone(layers.Rescaling(1 / 127.5, -1)(image)))
    label = layers.Dropout(model.dropout)(layers.GlobalAveragePooling2D()(features))
    label = layers.Dense(num_labels, kernel_regularizer=keras.regularizers.L2(model.class_l2), name="dense_class")(
        label
    )
    box = layers.Conv2D(model.box_filters, 3, padding="same")(features)
    box = layers.ReLU()(layers.BatchNormalization()(box))
    box = layers.GlobalAveragePooling2D()(box)
    outputs = {
        "class_prediction": layers.Activation("softmax", name="class_prediction", dtype="float32")(label),
        "bbox_prediction": layers.Dense(4, name="bbox_prediction", dtype="float32")(box),
    }
    return keras.Model(image, outputs, name="snack_localizer")


def part(name: str, whole: keras.Model, _: Model) -> Part:
    """`classifier`: backbone and class head. `boxes`: both heads on the frozen backbone."""
    whole.get_layer("backbone").trainable = name == "classifier"
    class_loss, class_metrics = "sparse_categorical_crossentropy", ["accuracy"]
    if name == "classifier":
        classifier = keras.Model(whole.inputs[0], {"class_prediction": whole.output["class_prediction"]})
        return Part(
            classifier, {"loss": {"class_prediction": class_loss}, "metrics": {"class_prediction": class_metrics}}
        )
    return Part(
        whole,
        {
            "loss": {"class_prediction": class_loss, "bbox_prediction": "mean_squared_error"},
            "loss_weights": {"class_prediction": 1.0, "bbox_prediction": BOX_WEIGHT},
            "metrics": {"class_prediction": class_metrics, "bbox_prediction": [mean_iou]},
        },
        cut="features",
    )


def mean_iou(box_true: Any, box_predicted: Any) -> Any:
    """IoU of each pair of boxes x_min, x_max, y_min, y_max [B, 4], float32 [B]."""
    return mean_iou_xyxy(_corners(box_true), _corners(box_predicted))


def stream(_: Model, __: int, ___: int) -> None:
    """Photographs are not drawn."""


def _corners(box: Any) -> Any:
    return ops.stack([box[..., 0], box[..., 2], box[..., 1], box[..., 3]], axis=-1)
