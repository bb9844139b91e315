"""An adapter around KerasHub's RetinaNet: pixels as packed, boxes as fractions, labels as they are."""

import math
from typing import Any

import keras
import keras_hub
from keras import ops

from pipeline.systems.coco_retinanet.config import ModelConfig, TargetsConfig
from pipeline.systems.coco_retinanet.pretrained import init_head
from pipeline.systems.coco_retinanet.targets import CROWD, PADDING
from pipeline.systems.interfaces import ModelFactory, TrainingPhase
from pipeline.systems.layers import imagenet_scaling

BOX_FORMAT = "rel_xywh"

MAX_CANDIDATES = 1000
"""Boxes of one image that are handed on to suppression."""


CROWD_SHARE = 0.5
"""An anchor lies in a crowd region if so much of its area does."""


@keras.saving.register_keras_serializable("boxline")
class CrowdEncoder(keras.layers.Layer):
    """KerasHub's `encoder` of boxes for anchors, which knows no crowd regions: they match no anchor.

    Anchors that lie in a crowd region and match no object become neither object nor background: they have no loss.
    """

    def __init__(self, encoder: keras.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.bounding_box_format = encoder.bounding_box_format

    def call(self, images: Any, gt_boxes: Any, gt_classes: Any) -> Any:
        """Boxes [B, M, 4] and labels [B, M] -> what each anchor is to answer: deltas [B, A, 4] and labels [B, A]."""
        is_crowd = ops.equal(gt_classes, CROWD)
        deltas, labels = self.encoder(
            images, ops.where(is_crowd[..., None], PADDING, gt_boxes), ops.where(is_crowd, PADDING, gt_classes)
        )
        anchors = ops.concatenate(list(self.encoder.anchor_generator(images).values()), axis=0)
        anchors = self._corners(anchors, self.encoder.anchor_generator.bounding_box_format, images)[:, None]
        regions = self._corners(gt_boxes, self.bounding_box_format, images)[:, None]
        shared_width, shared_height = (
            ops.minimum(anchors[..., axis + 2], regions[..., axis + 2])
            - ops.maximum(anchors[..., axis], regions[..., axis])
            for axis in range(2)
        )
        shared = ops.maximum(shared_width, 0) * ops.maximum(shared_height, 0)
        areas = ops.prod(anchors[..., 2:] - anchors[..., :2], axis=-1)
        covered = ops.any(ops.logical_and(is_crowd[:, None], shared >= CROWD_SHARE * areas), axis=-1)
        unmatched = ops.equal(labels, self.encoder.background_class)
        return deltas, ops.where(ops.logical_and(covered, unmatched), self.encoder.ignore_class, labels)

    def get_config(self) -> dict[str, Any]:
        """With the encoder inside."""
        return {**super().get_config(), "encoder": keras.layers.serialize(self.encoder)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CrowdEncoder":
        """What `get_config` gave."""
        return cls(**{**config, "encoder": keras.layers.deserialize(config["encoder"])})

    @staticmethod
    def _corners(boxes: Any, source: str, images: Any) -> Any:
        height, width = images.shape[1:3]
        return keras.utils.bounding_boxes.convert_format(
            boxes, source=source, target="xyxy", height=height, width=width
        )


@keras.saving.register_keras_serializable("boxline")
class RetinaNet(keras_hub.models.RetinaNetObjectDetector):
    """KerasHub's detector that takes pixels 0..255 and answers the best candidates before suppression.

    Suppression has no fixed shapes; it happens in `targets.decode`, outside the compiled step.
    """

    # KerasHub's own put preprocessing in front, which takes arrays and tf.data only, no batches by index.
    fit = keras.Model.fit
    evaluate = keras.Model.evaluate
    predict_on_batch = keras.Model.predict_on_batch

    def call(self, images: Any, training: Any = None, mask: Any = None) -> Any:
        """Pixels 0..255 RGB [B, size, size, 3] -> `bbox_regression` [B, A, 4] and `cls_logits` [B, A, num_labels].

        Both are float32 whatever the layers compute in, and so are the losses on them.
        """
        outputs = super().call(imagenet_scaling()(images), training=training, mask=mask)
        return {name: ops.cast(values, "float32") for name, values in outputs.items()}

    def predict_step(self, *args: Any) -> Any:
        """Pixels -> `boxes` rel xywh [B, K, 4], `confidence` 0..1 [B, K] and `labels` [B, K], best first."""
        images = keras.utils.unpack_x_y_sample_weight(args[-1])[0]
        answer = keras.Model.predict_step(self, *args)
        if isinstance(answer, tuple):  # JAX carries the state of the model along
            raw, state = answer
            return self._candidates(raw, images), state
        return self._candidates(answer, images)

    def _candidates(self, raw: Any, images: Any) -> dict[str, Any]:
        height, width = images.shape[1:3]
        anchors = ops.concatenate(list(self.anchor_generator(images).values()), axis=0)
        scores = ops.sigmoid(raw["cls_logits"])
        confidence, best = ops.top_k(ops.max(scores, axis=-1), min(MAX_CANDIDATES, scores.shape[1]))
        boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
            anchors=ops.take(anchors, best, axis=0),
            boxes_delta=ops.take_along_axis(raw["bbox_regression"], best[..., None], axis=1),
            encoded_format="center_xywh",
            anchor_format=self.anchor_generator.bounding_box_format,
            box_format=BOX_FORMAT,
            image_shape=(height, width, 3),
        )
        labels = ops.take_along_axis(ops.argmax(scores, axis=-1), best, axis=1)
        return {"boxes": boxes, "confidence": confidence, "labels": labels}


class RetinaNetFactory(ModelFactory[ModelConfig, TargetsConfig]):
    """KerasHub's detector with the pretrained architecture."""

    def build_model(
        self,
        config: ModelConfig,
        targets: TargetsConfig,
        image_size: int,
        channels: int,
        num_labels: int,
        pretrained: keras.Model | None,
    ) -> keras.Model:
        """The preset's detector for `num_labels` labels. Its heads come along where they fit.

        With a `class_prior` the class head's last layer starts anew.
        """
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(
            "float32"
        )  # for matching and encoding of boxes; heads follow the backbone's policy
        try:
            detector = RetinaNet(
                pretrained.backbone,
                num_labels,
                bounding_box_format=BOX_FORMAT,
                anchor_generator=pretrained.anchor_generator,
                use_prediction_head_norm=pretrained.use_prediction_head_norm,
                pre_logits_num_conv_layers=pretrained.pre_logits_num_conv_layers,
                name="coco_retinanet",
            )
            if targets.crowd == "ignore":
                detector.label_encoder = CrowdEncoder(detector.label_encoder)
        finally:
            keras.config.set_dtype_policy(policy)
        detector.box_head.set_weights(pretrained.box_head.get_weights())
        if num_labels == pretrained.num_classes:
            detector.classification_head.set_weights(pretrained.classification_head.get_weights())
        if config.class_prior is not None:
            init_head(detector.classification_head, bias=math.log(config.class_prior / (1 - config.class_prior)))
        return detector

    def phase_model(self, phase: str, model: keras.Model, config: ModelConfig) -> TrainingPhase:
        """The whole detector with KerasHub's own losses: focal for classes, Huber for boxes, both summed over anchors."""
        return TrainingPhase(model, {}, target_names=("boxes", "labels"))
