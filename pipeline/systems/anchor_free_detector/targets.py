"""All boxes of an image, padded to a fixed number: `boxes` float32 [M, 6], rel xyxy, label, and 1 for a crowd region.

Padding has label -1. The model answers `boxes` [L, 4 + num_labels]: for each cell of each level rel xyxy and a logit of
every class. Cells are matched to objects during training, by the network's answers.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import xywh_to_xyxy, xyxy_to_xywh
from pipeline.systems.anchor_free_detector.config import Targets
from pipeline.systems.interfaces import Arrays, Decoded, Truth
from pipeline.systems.labels import contiguous_labels

TASK = "detection"

label_to_category_id = contiguous_labels

PADDING = -1
CERTAIN = 50.0
"""A logit whose probability is 1 in float64, or 0 with the other sign."""

SCORE_THRESHOLD = 0.02
SUPPRESSION_IOU = 0.6
MAX_DETECTIONS = 100
"""As many as COCO counts."""


def objects(truth: Truth, _: Targets) -> NDArray[np.bool_]:
    """Every box that is no crowd region."""
    return ~truth.is_crowd


def examples(truth: Truth, targets: Targets, *, training: bool) -> list[NDArray[np.int64]]:
    """Every image, also one without objects, which teaches what is none; of more than `max_boxes` the largest objects
    are kept, then crowd regions.
    """
    areas = truth.boxes_rel_xywh[:, 2] * truth.boxes_rel_xywh[:, 3]
    return [np.sort(np.lexsort([-areas, truth.is_crowd])[: targets.max_boxes])]


def encode(truth: Truth, targets: Targets) -> dict[str, NDArray[Any]]:
    """The boxes of one image, padded."""
    boxes = np.zeros((targets.max_boxes, 6), np.float32)
    boxes[:, 4] = PADDING
    boxes[: len(truth), :4] = xywh_to_xyxy(truth.boxes_rel_xywh)
    boxes[: len(truth), 4] = truth.labels
    boxes[: len(truth), 5] = truth.is_crowd
    return {"boxes": boxes}


def as_outputs(targets: Arrays, num_labels: int) -> dict[str, NDArray[Any]]:
    """The objects as cells that are certain of them; padding and crowd regions as cells that are certain of nothing."""
    boxes = targets["boxes"]
    answered = (boxes[..., 4] != PADDING) & (boxes[..., 5] == 0)
    labels = np.where(answered, boxes[..., 4], num_labels).astype(int)
    certainty = np.eye(num_labels + 1)[labels][..., :num_labels] * 2 - 1
    return {"boxes": np.concatenate([boxes[..., :4], CERTAIN * certainty], axis=-1)}


def decode(outputs: Arrays) -> Decoded:
    """Every class of every cell with a score above the threshold, without those that overlap a better one of their
    class, the best of each image.
    """
    found = [_decode_image(answers) for answers in np.asarray(outputs["boxes"], np.float64)]
    rows = np.repeat(np.arange(len(found)), [len(labels) for _, labels, _ in found])
    boxes, labels, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Decoded(rows, boxes, labels, scores)


def _decode_image(answers: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Cells [L, 4 + num_labels] -> boxes rel xywh [K, 4], labels and scores [K], the best first."""
    probabilities = 1 / (1 + np.exp(-answers[:, 4:]))
    usable = (answers[:, 2:4] > answers[:, :2]).all(axis=1, keepdims=True)
    cells, labels = np.nonzero((probabilities > SCORE_THRESHOLD) & usable)
    boxes, scores = xyxy_to_xywh(answers[cells, :4]), probabilities[cells, labels]
    kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), labels.tolist(), SCORE_THRESHOLD, SUPPRESSION_IOU)
    best = np.asarray(kept, np.int64).ravel()[:MAX_DETECTIONS]
    return boxes[best], labels[best], scores[best]
