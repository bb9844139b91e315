"""All boxes of an image, padded to a fixed number: `boxes` float32 [M, 4] rel xywh, `labels` float32 [M].

Padding is -1 in both, as KerasHub's label encoder expects it. The network matches anchors during training. With
`crowd: ignore` crowd regions are included with label -2.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.coco_retinanet.config import TargetsConfig
from pipeline.systems.common.detectors import MAX_DETECTIONS, CategoryIdCodec
from pipeline.systems.common.example_selection import largest_objects
from pipeline.systems.common.interfaces import NamedArrays
from pipeline.systems.common.labels import PADDING_LABEL

CROWD = -2.0

# As in torchvision's evaluation of the weights that KerasHub converted.
SCORE_THRESHOLD = 0.05
NMS_IOU = 0.5


class RetinaNetCodec(CategoryIdCodec[TargetsConfig]):
    """Pads the boxes of an image to `max_boxes`; decodes candidates by thresholding and NMS."""

    def select_examples(
        self, ground_truth: LabeledBoxes, config: TargetsConfig, *, training: bool
    ) -> list[NDArray[np.int64]]:
        """Train on images with objects, evaluate every image. The largest objects are kept, up to `max_boxes`."""
        is_object = self.object_mask(ground_truth, config)
        if training and not is_object.any():
            return []
        return largest_objects(ground_truth, is_object, config.max_boxes)

    def encode(self, ground_truth: LabeledBoxes, config: TargetsConfig) -> dict[str, NDArray[Any]]:
        """`boxes` float32 [max_boxes, 4] and `labels` float32 [max_boxes]."""
        boxes = np.full((config.max_boxes, 4), PADDING_LABEL, np.float32)
        labels = np.full(config.max_boxes, PADDING_LABEL, np.float32)
        count, is_object = len(ground_truth), self.object_mask(ground_truth, config)
        boxes[:count] = ground_truth.boxes_rel_xywh
        labels[:count] = np.where(is_object, ground_truth.labels, CROWD)
        return {"boxes": boxes, "labels": labels}

    def oracle_outputs(self, targets: NamedArrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """Boxes and labels as they are: objects with confidence 1, padding and crowd regions with confidence 0."""
        return {**targets, "confidence": (targets["labels"] >= 0).astype(np.float32)}

    def decode(self, outputs: NamedArrays) -> list[LabeledBoxes]:
        """Candidates above the score threshold after NMS, best first.

        As in KerasHub, a candidate has one label, and candidates of different labels suppress each other.
        """
        candidates = zip(outputs["boxes"], outputs["labels"], outputs["confidence"], strict=True)
        return [_suppress(LabeledBoxes(*values)) for values in candidates]


def _suppress(candidates: LabeledBoxes) -> LabeledBoxes:
    """The candidates of one image that are left after non-maximum suppression, best first."""
    candidates = candidates[np.flatnonzero((candidates.boxes_rel_xywh[:, 2:] > 0).all(axis=1))]
    assert candidates.scores is not None, "candidates have scores"
    if not len(candidates):
        return candidates
    boxes, scores = candidates.boxes_rel_xywh.tolist(), candidates.scores.tolist()
    kept = cv2.dnn.NMSBoxes(boxes, scores, SCORE_THRESHOLD, NMS_IOU)
    return candidates[np.asarray(kept, np.int64).ravel()[:MAX_DETECTIONS]]
