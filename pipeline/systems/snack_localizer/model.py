"""The published snack localizer: a MobileNet becomes a classifier, then, frozen, carries two heads."""

from typing import Any

import keras
from keras import layers, ops

from pipeline.systems.interfaces import ModelFactory, TrainingPhase
from pipeline.systems.layers import mean_iou_xyxy
from pipeline.systems.snack_localizer.config import ModelConfig, TargetsConfig

BOX_WEIGHT = 10.0


class SnackLocalizerFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """The published snack localizer."""

    def build_model(
        self,
        config: ModelConfig,
        targets: TargetsConfig,
        image_size: int,
        channels: int,
        num_labels: int,
        pretrained: keras.Model | None,
    ) -> keras.Model:
        """Pixels 0..255 RGB -> `class_prediction` [B, num_labels] probabilities and `bbox_prediction` [B, 4], linear.

        Both stages are made of these layers: the class head that the first stage trains is the one that the second has.
        """
        image = layers.Input((image_size, image_size, channels), name="image")
        backbone = keras.Model(pretrained.inputs[0], pretrained.outputs[0], name="backbone")
        features = layers.Identity(name="features")(backbone(layers.Rescaling(1 / 127.5, -1)(image)))
        label = layers.Dropout(config.dropout)(layers.GlobalAveragePooling2D()(features))
        label = layers.Dense(num_labels, kernel_regularizer=keras.regularizers.L2(config.class_l2), name="dense_class")(
            label
        )
        box = layers.Conv2D(config.box_filters, 3, padding="same")(features)
        box = layers.ReLU()(layers.BatchNormalization()(box))
        box = layers.GlobalAveragePooling2D()(box)
        outputs = {
            "class_prediction": layers.Activation("softmax", name="class_prediction", dtype="float32")(label),
            "bbox_prediction": layers.Dense(4, name="bbox_prediction", dtype="float32")(box),
        }
        return keras.Model(image, outputs, name="snack_localizer")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """`classifier`: backbone and class head. `boxes`: both heads on the frozen backbone."""
        model.get_layer("backbone").trainable = phase == "classifier"
        class_loss, class_metrics = "sparse_categorical_crossentropy", ["accuracy"]
        if phase == "classifier":
            classifier = keras.Model(model.inputs[0], {"class_prediction": model.output["class_prediction"]})
            return TrainingPhase(
                classifier, {"loss": {"class_prediction": class_loss}, "metrics": {"class_prediction": class_metrics}}
            )
        return TrainingPhase(
            model,
            {
                "loss": {"class_prediction": class_loss, "bbox_prediction": "mean_squared_error"},
                "loss_weights": {"class_prediction": 1.0, "bbox_prediction": BOX_WEIGHT},
                "metrics": {"class_prediction": class_metrics, "bbox_prediction": [mean_iou]},
            },
            frozen_until="features",
        )


def mean_iou(box_true: Any, box_predicted: Any) -> Any:
    """IoU of each pair of boxes x_min, x_max, y_min, y_max [B, 4], float32 [B]."""
    return mean_iou_xyxy(_corners(box_true), _corners(box_predicted))


def _corners(box: Any) -> Any:
    return ops.stack([box[..., 0], box[..., 2], box[..., 1], box[..., 3]], axis=-1)
