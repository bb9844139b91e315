"""The published snack localizer: a MobileNet trained as a classifier, then frozen under a class and a box head."""

from typing import Any

import keras
from keras import layers

from pipeline.systems.common.box_losses import iou_xyxy, xxyy_to_xyxy
from pipeline.systems.common.interfaces import ModelFactory, ModelShape, TrainingPhase
from pipeline.systems.snack_localizer.config import ModelConfig, TargetsConfig

BOX_WEIGHT = 10.0


class SnackLocalizerFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """Builds a class head and a box head on a pretrained MobileNet."""

    def build_model(
        self, config: ModelConfig, targets: TargetsConfig, shape: ModelShape, pretrained: keras.Model | None
    ) -> keras.Model:
        """Build the localizer on the pretrained backbone, see the base class.

        Both phases use the same layers: the second phase continues with the class head that the first has trained.

        Returns:
            A model from RGB pixels 0..255 to `class_prediction` [B, num_labels], probabilities, and `bbox_prediction`
            [B, 4], linear; both float32.

        """
        assert pretrained is not None, "the system declares pretrained weights"
        image = layers.Input(shape.image, name="image")
        backbone = keras.Model(pretrained.inputs[0], pretrained.outputs[0], name="backbone")
        features = layers.Identity(name="features")(backbone(layers.Rescaling(1 / 127.5, -1)(image)))
        label = layers.Dropout(config.dropout)(layers.GlobalAveragePooling2D()(features))
        label = layers.Dense(
            shape.num_labels, kernel_regularizer=keras.regularizers.L2(config.class_l2), name="dense_class"
        )(label)
        box = layers.Conv2D(config.box_filters, 3, padding="same")(features)
        box = layers.ReLU()(layers.BatchNormalization()(box))
        box = layers.GlobalAveragePooling2D()(box)
        outputs = {
            "class_prediction": layers.Activation("softmax", name="class_prediction", dtype="float32")(label),
            "bbox_prediction": layers.Dense(4, name="bbox_prediction", dtype="float32")(box),
        }
        return keras.Model(image, outputs, name="snack_localizer")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """`classifier`: backbone and class head. `boxes`: both heads on the frozen backbone.

        The losses are the cross-entropy of the class and the squared error of the box, weighted 1 and 10.
        """
        model.get_layer("backbone").trainable = phase == "classifier"
        class_loss = "sparse_categorical_crossentropy"
        if phase == "classifier":
            classifier = keras.Model(model.inputs[0], {"class_prediction": model.output["class_prediction"]})
            # The names that Keras gives them in the next phase, where the loss is a sum of two.
            metrics = [
                keras.metrics.SparseCategoricalAccuracy(name="class_prediction_accuracy"),
                keras.metrics.SparseCategoricalCrossentropy(name="class_prediction_loss"),
            ]
            return TrainingPhase(
                classifier, {"loss": {"class_prediction": class_loss}, "metrics": {"class_prediction": metrics}}
            )
        return TrainingPhase(
            model,
            {
                "loss": {"class_prediction": class_loss, "bbox_prediction": "mean_squared_error"},
                "loss_weights": {"class_prediction": 1.0, "bbox_prediction": BOX_WEIGHT},
                "metrics": {"class_prediction": ["accuracy"], "bbox_prediction": [mean_iou]},
            },
            frozen_until="features",
        )


def mean_iou(box_true: Any, box_predicted: Any) -> Any:
    """Metric: IoU of each pair of boxes x_min, x_max, y_min, y_max, [B, 4], float32 [B]."""
    return iou_xyxy(xxyy_to_xyxy(box_true), xxyy_to_xyxy(box_predicted))
