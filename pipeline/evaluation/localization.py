"""Scores of localizers, one box per image: class accuracy and overlap, and what a constant answer would get."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.datasets.tables import Tables, boxes_xywh_of, image_scale_of, without_crowds
from pipeline.evaluation.detections import detections_table
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy

HEADLINE = "mean_iou"


def score(truth: Tables, detections: pa.Table) -> dict[str, float]:
    """`accuracy` of the class, `mean_iou`, and the shares of boxes with IoU above 0.5 and 0.6; each 0..1.

    `detections` has at most one row per image. Every true box asks about the answer of its image: where an image has
    several, no one answer suits all of them. A box without an answer counts as wrong with IoU 0, and an inverted box
    overlaps nothing. Crowd boxes are regions to ignore.
    """
    asked = without_crowds(truth.boxes)
    answer_of_box = pc.index_in(asked["image_id"], value_set=detections["image_id"].combine_chunks())
    answered = np.flatnonzero(answer_of_box.is_valid().to_numpy())
    answers = detections.take(answer_of_box.drop_null())
    boxes = asked.take(answered)
    overlaps = np.zeros(asked.num_rows)
    overlaps[answered] = paired_iou(xywh_to_xyxy(boxes_xywh_of(answers)), xywh_to_xyxy(boxes_xywh_of(boxes)))
    right = np.zeros(asked.num_rows, bool)
    right[answered] = answers["category_id"].to_numpy() == boxes["category_id"].to_numpy()
    return {
        "accuracy": float(right.mean()),
        "mean_iou": float(overlaps.mean()),
        "iou_50": float((overlaps > 0.5).mean()),
        "iou_60": float((overlaps > 0.6).mean()),
    }


def constant_answer(train: Tables, truth: Tables) -> pa.Table:
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
