"""All boxes of an image, padded to a fixed number: `boxes` float32 [M, 4] rel xywh, `labels` float32 [M].

Padding is -1 in both, as KerasHub's encoder expects it. Anchors are matched during training, by the network. With
`crowd: ignore` crowd regions stand there with label -2.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import Boxes
from pipeline.systems.coco_retinanet.config import Targets
from pipeline.systems.interfaces import Arrays, Decoded, Truth
from pipeline.systems.labels import category_ids_as_labels

TASK = "detection"

label_to_category_id = category_ids_as_labels

PADDING = -1.0
CROWD = -2.0

# As torchvision evaluates the weights that the preset was made from.
SCORE_THRESHOLD = 0.05
SUPPRESSION_IOU = 0.5
MAX_DETECTIONS = 100


def objects(truth: Truth, targets: Targets) -> NDArray[np.bool_]:
    """Every box, or with `crowd: ignore` every box that is no crowd region."""
    return ~truth.is_crowd if targets.crowd == "ignore" else np.ones(len(truth), bool)


def examples(truth: Truth, targets: Targets, *, training: bool) -> list[NDArray[np.int64]]:
    """Trained on are images with objects, scored are all; of more than `max_boxes` the largest objects are kept."""
    found = objects(truth, targets)
    if training and not found.any():
        return []
    areas = truth.boxes_rel_xywh[:, 2] * truth.boxes_rel_xywh[:, 3]
    largest = np.lexsort([-areas, ~found])[: targets.max_boxes]
    return [np.sort(largest)]


def encode(truth: Truth, targets: Targets) -> dict[str, NDArray[Any]]:
    """The boxes and labels of one image, padded."""
    boxes = np.full((targets.max_boxes, 4), PADDING, np.float32)
    padded = np.full(targets.max_boxes, PADDING, np.float32)
    boxes[: len(truth)] = truth.boxes_rel_xywh
    padded[: len(truth)] = np.where(objects(truth, targets), truth.labels, CROWD)
    return {"boxes": boxes, "labels": padded}


def as_outputs(targets: Arrays, _: int) -> dict[str, NDArray[Any]]:
    """Boxes and labels as they are, objects with full confidence, padding and crowd regions with none."""
    return {**targets, "confidence": (targets["labels"] >= 0).astype(np.float32)}


def decode(outputs: Arrays) -> Decoded:
    """Candidates above the threshold, without those that overlap a better one, the best of each image.

    As in KerasHub, a candidate has one label, and candidates of different labels suppress each other.
    """
    rows, boxes, labels, scores = [], [], [], []
    for row, (candidates, confidence, label) in enumerate(
        zip(outputs["boxes"], outputs["confidence"], outputs["labels"], strict=True)
    ):
        kept = _suppress(np.asarray(candidates, np.float64), np.asarray(confidence, np.float64))
        rows.append(np.full(len(kept), row))
        boxes.append(np.asarray(candidates, np.float64)[kept])
        labels.append(np.asarray(label).astype(np.int64)[kept])
        scores.append(np.asarray(confidence, np.float64)[kept])
    return Decoded(
        np.concatenate([np.empty(0, np.int64), *rows]),
        np.concatenate([np.empty((0, 4)), *boxes]),
        np.concatenate([np.empty(0, np.int64), *labels]),
        np.concatenate([np.empty(0), *scores]),
    )


def _suppress(boxes_rel_xywh: Boxes, scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of what stays, best first."""
    candidates = np.flatnonzero((boxes_rel_xywh[:, 2:] > 0).all(axis=1))
    if not len(candidates):
        return candidates
    kept = cv2.dnn.NMSBoxes(
        boxes_rel_xywh[candidates].tolist(), scores[candidates].tolist(), SCORE_THRESHOLD, SUPPRESSION_IOU
    )
    return candidates[np.asarray(kept, np.int64).ravel()[:MAX_DETECTIONS]]
