"""Scores of localizers, one box per image: class accuracy and overlap, and what a constant answer would get."""

import numpy as np
import pyarrow as pa

from pipeline.datasets.tables import Tables, boxes_xywh_of, image_scale_of
from pipeline.evaluation.detections import detections_table
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy

HEADLINE = "mean_iou"


def score(truth: Tables, detections: pa.Table) -> dict[str, float]:
    """`accuracy` of the class, `mean_iou`, and the shares of images with IoU above 0.5 and 0.6; each 0..1.

    `truth` has one box per image, `detections` at most one. An image without an answer counts as wrong with IoU 0.
    An inverted box overlaps nothing.
    """
    boxes = truth.boxes.sort_by("image_id")
    rows = np.searchsorted(boxes["image_id"].to_numpy(), detections["image_id"].to_numpy())
    answered = boxes.take(rows)
    overlaps = np.zeros(boxes.num_rows)
    overlaps[rows] = paired_iou(xywh_to_xyxy(boxes_xywh_of(detections)), xywh_to_xyxy(boxes_xywh_of(answered)))
    right = np.zeros(boxes.num_rows, bool)
    right[rows] = detections["category_id"].to_numpy() == answered["category_id"].to_numpy()
    return {
        "accuracy": float(right.mean()),
        "mean_iou": float(overlaps.mean()),
        "iou_50": float((overlaps > 0.5).mean()),
        "iou_60": float((overlaps > 0.6).mean()),
    }


def constant_answer(train: Tables, truth: Tables) -> pa.Table:
    """The same answer for every image: the mean training box in fractions of the image, and the commonest category."""
    fractions_xywh = boxes_xywh_of(train.boxes) / image_scale_of(train.boxes, train.images)
    category_ids, counts = np.unique(train.boxes["category_id"].to_numpy(), return_counts=True)
    return detections_table(
        truth.boxes["image_id"].to_numpy(),
        np.full(truth.boxes.num_rows, category_ids[np.argmax(counts)]),
        fractions_xywh.mean(axis=0) * image_scale_of(truth.boxes, truth.images),
        np.ones(truth.boxes.num_rows),
    )
