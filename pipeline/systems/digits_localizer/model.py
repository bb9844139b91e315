"""The published digit localizer: three convolutions, global average pooling, a class head and a box head."""

import keras
from keras import layers

from pipeline.systems.common.box_losses import iou_xyxy
from pipeline.systems.common.interfaces import ModelFactory, ModelShape, TrainingPhase
from pipeline.systems.digits_localizer.config import ModelConfig, TargetsConfig


class DigitsLocalizerFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """Builds the network with random weights, and one loss per head."""

    def build_model(
        self, config: ModelConfig, targets: TargetsConfig, shape: ModelShape, pretrained: keras.Model | None
    ) -> keras.Model:
        """Build the localizer, see the base class.

        Returns:
            A model from pixels 0..255 [B, size, size, channels] to `label` [B, num_labels], probabilities, and `bbox`
            [B, 4], relative xyxy; both float32.

        """
        image = layers.Input(shape.image, name="image")
        x = layers.Rescaling(1 / 255)(image) if config.pixel_scale == "unit" else image
        first, second, third = config.filters
        x = layers.Conv2D(first, 3, activation="relu")(x)
        x = layers.MaxPooling2D(3)(x)
        x = layers.Conv2D(second, 3, activation="relu")(x)
        x = layers.MaxPooling2D(3)(x)
        x = layers.Conv2D(third, 3, activation="relu")(x)
        features = layers.GlobalAveragePooling2D(name="features")(x)
        label = layers.Dropout(config.dropout)(features)
        label = layers.Dense(shape.num_labels, activation="softmax", name="label", dtype="float32")(label)
        box = features
        for number, units in enumerate(config.box_units, 1):
            box = layers.Dense(units, activation="relu", name=f"bbox_{number}")(box)
        box = layers.Dense(4, activation="sigmoid", name="bbox", dtype="float32")(box)
        return keras.Model(image, {"label": label, "bbox": box}, name="digits_localizer")

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """`all`: the whole model. `boxes`: the box head on frozen features, with the frozen class head's accuracy.

        The losses are the cross-entropy of the class and the squared error of the box, with equal weights.
        """
        for layer in model.layers:
            layer.trainable = phase == "all" or layer.name.startswith("bbox")
        box_loss = {"bbox": "mean_squared_error"}
        mean_iou = keras.metrics.MeanMetricWrapper(iou_xyxy, name="mean_iou_xyxy")
        metrics = {"label": ["accuracy"], "bbox": [mean_iou]}
        if phase == "boxes":
            return TrainingPhase(model, {"loss": box_loss, "metrics": metrics}, frozen_until="features")
        return TrainingPhase(
            model,
            {
                "loss": {"label": "sparse_categorical_crossentropy", **box_loss},
                "loss_weights": {"label": 1.0, "bbox": 1.0},
                "metrics": metrics,
            },
        )
