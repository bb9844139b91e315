"""Scores of localizers, one box per image: class accuracy and overlap, and what a constant answer would get."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_scale_of, without_crowds
from pipeline.evaluation.detections import detections_table
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy

PRIMARY_METRIC = "mean_iou"


class Matches(NamedTuple):
    """How each of N true boxes is answered: its IoU in 0..1, whether the class is right, and how sure the answer is.

    A box without an answer has IoU 0, a wrong class and score -inf, below every cut-off.
    """

    ious: NDArray[np.float64]
    right: NDArray[np.bool_]
    scores: NDArray[np.float64]


def score(truth: Tables, detections: pa.Table) -> dict[str, float]:
    """`accuracy` of the class, `mean_iou`, and the shares of boxes with IoU above 0.5 and 0.6; each 0..1.

    They are shares of all true boxes that are no crowd regions. A box without an answer counts as wrong with IoU 0.
    """
    judged = match_boxes(truth, detections)
    return {
        "accuracy": float(judged.right.mean()),
        "mean_iou": float(judged.ious.mean()),
        "iou_50": float((judged.ious > 0.5).mean()),
        "iou_60": float((judged.ious > 0.6).mean()),
    }


def match_boxes(truth: Tables, detections: pa.Table) -> Matches:
    """Every true box asks about the answer of its image: where an image has several, no one answer suits all of them.

    `detections` has at most one row per image. An inverted box overlaps nothing. Crowd boxes are regions to ignore.
    """
    asked = without_crowds(truth.boxes)
    answer_of_box = pc.index_in(asked["image_id"], value_set=detections["image_id"].combine_chunks())
    answered = np.flatnonzero(answer_of_box.is_valid().to_numpy())
    answers = detections.take(answer_of_box.drop_null())
    boxes = asked.take(answered)
    count = asked.num_rows
    ious, right, scores = np.zeros(count), np.zeros(count, bool), np.full(count, -np.inf)
    ious[answered] = paired_iou(xywh_to_xyxy(boxes_xywh_of(answers)), xywh_to_xyxy(boxes_xywh_of(boxes)))
    right[answered] = answers["category_id"].to_numpy() == boxes["category_id"].to_numpy()
    scores[answered] = answers["score"].to_numpy()
    return Matches(ious, right, scores)


def constant_baseline(train: Tables, truth: Tables) -> pa.Table:
    """The same answer for every image: the mean training box in fractions of the image, and the commonest category."""
    boxes = without_crowds(train.boxes)
    fractions_xywh = boxes_xywh_of(boxes) / image_scale_of(boxes, train.images)
    category_ids, counts = np.unique(boxes["category_id"].to_numpy(), return_counts=True)
    return detections_table(
        truth.images["image_id"].to_numpy(),
        np.full(truth.images.num_rows, category_ids[np.argmax(counts)]),
        fractions_xywh.mean(axis=0) * image_scale_of(truth.images, truth.images),
        np.ones(truth.images.num_rows),
    )
