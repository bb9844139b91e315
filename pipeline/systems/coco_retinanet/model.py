"""KerasHub's RetinaNet, adapted to packed images, relative boxes and integer labels."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras
import keras_hub
from keras import ops

from pipeline.systems.coco_retinanet.config import ModelConfig, TargetsConfig
from pipeline.systems.coco_retinanet.targets import CROWD
from pipeline.systems.common.interfaces import ModelFactory, ModelShape, TrainingPhase
from pipeline.systems.common.labels import PADDING_LABEL
from pipeline.systems.common.layers import imagenet_scaling

BOX_FORMAT = "rel_xywh"

MAX_CANDIDATES = 1000
"""Predictions per image that are passed to non-maximum suppression, highest scores first."""

MIN_CROWD_FRACTION = 0.5
"""An anchor is ignored if at least this fraction of its area lies in one crowd region."""


@keras.saving.register_keras_serializable("boxline")
class CrowdIgnoringLabelEncoder(keras.layers.Layer):
    """Adds crowd regions to KerasHub's label encoder, which does not support them.

    Crowd regions match no anchor. Anchors that lie in a crowd region and match no object are neither object nor
    background: they have no loss.

    Args:
        label_encoder: KerasHub's `RetinaNetLabelEncoder`.
        **kwargs: of `keras.layers.Layer`.

    """

    def __init__(self, label_encoder: keras.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_encoder = label_encoder
        self.bounding_box_format = label_encoder.bounding_box_format

    def call(self, images: Any, gt_boxes: Any, gt_classes: Any) -> Any:
        """Encode the ground truth as targets of the anchors.

        Args:
            images: [B, height, width, channels]; only the shape is used.
            gt_boxes: boxes in the label encoder's format, padded with PADDING_LABEL, [B, M, 4].
            gt_classes: labels, CROWD or PADDING_LABEL, [B, M].

        Returns:
            Box deltas [B, A, 4] and labels [B, A] of the anchors.

        """
        is_crowd = ops.equal(gt_classes, CROWD)
        deltas, labels = self.label_encoder(
            images,
            ops.where(is_crowd[..., None], PADDING_LABEL, gt_boxes),
            ops.where(is_crowd, PADDING_LABEL, gt_classes),
        )
        anchor_generator = self.label_encoder.anchor_generator
        anchors = ops.concatenate(list(anchor_generator(images).values()), axis=0)
        anchors = self._to_xyxy(anchors, anchor_generator.bounding_box_format, images)[:, None]
        regions = self._to_xyxy(gt_boxes, self.bounding_box_format, images)[:, None]
        shared_width, shared_height = (
            ops.minimum(anchors[..., axis + 2], regions[..., axis + 2])
            - ops.maximum(anchors[..., axis], regions[..., axis])
            for axis in range(2)
        )
        intersections = ops.maximum(shared_width, 0) * ops.maximum(shared_height, 0)
        areas = ops.prod(anchors[..., 2:] - anchors[..., :2], axis=-1)
        in_region = ops.logical_and(is_crowd[:, None], intersections >= MIN_CROWD_FRACTION * areas)
        unmatched = ops.equal(labels, self.label_encoder.background_class)
        ignored = ops.logical_and(ops.any(in_region, axis=-1), unmatched)
        return deltas, ops.where(ignored, self.label_encoder.ignore_class, labels)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, serialized."""
        return {**super().get_config(), "label_encoder": keras.layers.serialize(self.label_encoder)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CrowdIgnoringLabelEncoder":
        """Build the layer from a result of `get_config`."""
        return cls(**{**config, "label_encoder": keras.layers.deserialize(config["label_encoder"])})

    @staticmethod
    def _to_xyxy(boxes: Any, source: str, images: Any) -> Any:
        height, width = images.shape[1:3]
        return keras.utils.bounding_boxes.convert_format(
            boxes, source=source, target="xyxy", height=height, width=width
        )


@keras.saving.register_keras_serializable("boxline")
class RetinaNet(keras_hub.models.RetinaNetObjectDetector):
    """KerasHub's detector with pixels 0..255 as input, and predictions before non-maximum suppression as output.

    The number of boxes after suppression varies, so suppression is part of the codec, not of the compiled step.
    """

    # KerasHub's methods add preprocessing, which accepts arrays and tf.data only, not a PyDataset.
    fit = keras.Model.fit
    evaluate = keras.Model.evaluate
    predict_on_batch = keras.Model.predict_on_batch

    def call(self, images: Any, training: Any = None, mask: Any = None) -> Any:
        """Predict box deltas and logits of all anchors.

        Args:
            images: RGB pixels 0..255 [B, size, size, 3].
            training: whether the call is part of a training step.
            mask: not used.

        Returns:
            `bbox_regression` [B, A, 4] and `cls_logits` [B, A, num_labels], float32 under every dtype policy, and so
            are the losses on them.

        """
        outputs = super().call(self.scale_pixels(images), training=training, mask=mask)
        return {name: ops.cast(values, "float32") for name, values in outputs.items()}

    def scale_pixels(self, images: Any) -> Any:
        """Pixels 0..255 [B, size, size, 3] as the backbone expects them."""
        return imagenet_scaling()(images)

    def predict_step(self, *args: Any) -> Any:
        """Predict the K candidates with the highest scores, best first.

        Returns:
            `boxes` relative xywh [B, K, 4], `confidence` in 0..1 [B, K] and `labels` [B, K]; with JAX a tuple of them
            and the state of the model.

        """
        images = keras.utils.unpack_x_y_sample_weight(args[-1])[0]
        result = keras.Model.predict_step(self, *args)
        if isinstance(result, tuple):  # JAX returns the state of the model as well
            outputs, state = result
            return self._candidates(outputs, images), state
        return self._candidates(result, images)

    def _candidates(self, outputs: Any, images: Any) -> dict[str, Any]:
        height, width = images.shape[1:3]
        anchors = ops.concatenate(list(self.anchor_generator(images).values()), axis=0)
        scores = ops.sigmoid(outputs["cls_logits"])
        confidence, best = ops.top_k(ops.max(scores, axis=-1), min(MAX_CANDIDATES, scores.shape[1]))
        boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
            anchors=ops.take(anchors, best, axis=0),
            boxes_delta=ops.take_along_axis(outputs["bbox_regression"], best[..., None], axis=1),
            encoded_format="center_xywh",
            anchor_format=self.anchor_generator.bounding_box_format,
            box_format=BOX_FORMAT,
            image_shape=(height, width, 3),
        )
        labels = ops.take_along_axis(ops.argmax(scores, axis=-1), best, axis=1)
        return {"boxes": boxes, "confidence": confidence, "labels": labels}


def adapt_detector(pretrained: keras.Model, num_labels: int, detector_class: type[RetinaNet] = RetinaNet) -> RetinaNet:
    """KerasHub's detector as a `RetinaNet` with the same layers and weights.

    The weights of the class head are kept if it has as many labels.

    Args:
        pretrained: KerasHub's `RetinaNetObjectDetector`.
        num_labels: number of labels.
        detector_class: the class of the result.

    """
    with _float32_boxes():
        detector = detector_class(
            pretrained.backbone,
            num_labels,
            bounding_box_format=BOX_FORMAT,
            anchor_generator=pretrained.anchor_generator,
            use_prediction_head_norm=pretrained.use_prediction_head_norm,
            pre_logits_num_conv_layers=pretrained.pre_logits_num_conv_layers,
            name="coco_retinanet",
        )
    detector.box_head.set_weights(pretrained.box_head.get_weights())
    if num_labels == pretrained.num_classes:
        detector.classification_head.set_weights(pretrained.classification_head.get_weights())
    return detector


@contextlib.contextmanager
def _float32_boxes() -> Iterator[None]:
    """Boxes are matched and encoded in float32; the heads have the policy of the backbone."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


class RetinaNetFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """KerasHub's detector with the pretrained architecture."""

    def build_model(
        self, config: ModelConfig, targets: TargetsConfig, shape: ModelShape, pretrained: keras.Model | None
    ) -> keras.Model:
        """Build the pretrained detector for `num_labels` labels, see the base class.

        The weights of the box head are kept, and those of the class head if it has as many labels. With a `class_prior`
        the last layer of the class head is initialized again.

        Returns:
            A `RetinaNet`.

        """
        assert pretrained is not None, "the system declares pretrained weights"
        from pipeline.pretrained.initialization import init_head  # only training builds a model

        detector = adapt_detector(pretrained, shape.num_labels)
        if targets.crowd == "ignore":
            with _float32_boxes():
                detector.label_encoder = CrowdIgnoringLabelEncoder(detector.label_encoder)
        if config.class_prior is not None:
            init_head(detector.classification_head, bias=math.log(config.class_prior / (1 - config.class_prior)))
        return detector

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The whole detector with KerasHub's losses: focal for classes, Huber for boxes, both summed over anchors."""
        return TrainingPhase(model, {}, target_names=("boxes", "labels"))
