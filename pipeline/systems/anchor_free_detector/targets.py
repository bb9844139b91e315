"""All boxes of an image, padded to a fixed number: `boxes` float32 [M, 6], rel xyxy, label, and 1 for a crowd region.

Padding has label -1. The model predicts `boxes` [L, 4 + num_labels]: rel xyxy and one logit per class for each cell of
each pyramid level. The loss assigns cells to objects during training, from the current predictions.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import xywh_to_xyxy, xyxy_to_xywh
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.anchor_free_detector.config import TargetsConfig
from pipeline.systems.common.detectors import MAX_DETECTIONS
from pipeline.systems.common.example_selection import largest_objects
from pipeline.systems.common.interfaces import NamedArrays, TargetCodec
from pipeline.systems.common.labels import PADDING_LABEL

CERTAIN_LOGIT = 50.0
"""A logit with probability 1 in float64; the negative logit has probability 0."""

SCORE_THRESHOLD = 0.02
NMS_IOU = 0.6


class AnchorFreeCodec(TargetCodec[TargetsConfig]):
    """Pads the boxes of an image to `max_boxes`; decodes cells by thresholding and class-wise NMS."""

    task = "detection"

    def select_examples(
        self, ground_truth: LabeledBoxes, config: TargetsConfig, *, training: bool
    ) -> list[NDArray[np.int64]]:
        """Select every image, also one without objects: it teaches the background.

        The largest objects are kept, then crowd regions, up to `max_boxes`.
        """
        return largest_objects(ground_truth, self.object_mask(ground_truth, config), config.max_boxes)

    def encode(self, ground_truth: LabeledBoxes, config: TargetsConfig) -> dict[str, NDArray[Any]]:
        """`boxes` float32 [max_boxes, 6]."""
        boxes, count = np.zeros((config.max_boxes, 6), np.float32), len(ground_truth)
        boxes[:, 4] = PADDING_LABEL
        boxes[:count, :4] = xywh_to_xyxy(ground_truth.boxes_rel_xywh)
        boxes[:count, 4] = ground_truth.labels
        boxes[:count, 5] = ground_truth.is_crowd
        return {"boxes": boxes}

    def oracle_outputs(self, targets: NamedArrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """Each box as a cell: objects with probability 1 for their class, padding and crowd regions with 0."""
        boxes = targets["boxes"]
        is_object = (boxes[..., 4] != PADDING_LABEL) & (boxes[..., 5] == 0)
        labels = np.where(is_object, boxes[..., 4], num_labels).astype(int)
        signs = np.eye(num_labels + 1)[labels][..., :num_labels] * 2 - 1
        return {"boxes": np.concatenate([boxes[..., :4], CERTAIN_LOGIT * signs], axis=-1)}

    def decode(self, outputs: NamedArrays) -> list[LabeledBoxes]:
        """Every class of every cell above the score threshold, after class-wise NMS, best first."""
        return [_decode_image(cells) for cells in np.asarray(outputs["boxes"], np.float64)]


def _decode_image(cells: NDArray[np.float64]) -> LabeledBoxes:
    """Predictions of the cells of one image, [L, 4 + num_labels]."""
    probabilities = 1 / (1 + np.exp(-cells[:, 4:]))
    has_area = (cells[:, 2:4] > cells[:, :2]).all(axis=1, keepdims=True)
    rows, labels = np.nonzero((probabilities > SCORE_THRESHOLD) & has_area)
    boxes, scores = xyxy_to_xywh(cells[rows, :4]), probabilities[rows, labels]
    kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), labels.tolist(), SCORE_THRESHOLD, NMS_IOU)
    return LabeledBoxes(boxes, labels, scores)[np.asarray(kept, np.int64).ravel()[:MAX_DETECTIONS]]
