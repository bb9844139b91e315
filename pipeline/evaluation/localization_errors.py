"""Errors of localizers: which classes and sizes are answered how well, what is wrong, and in which images.

As in the scores, every true box asks about the one answer of its image, and one without an answer is wrong with IoU 0.
"""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_scale_of, without_crowds
from pipeline.evaluation.error_analysis import THRESHOLDS, WORST_IMAGES, Analysis, named_images, share
from pipeline.evaluation.localization import Matches, match_boxes

IOU = 0.5

SIZES = {"below 1 %": (0, 0.01), "1 to 10 %": (0.01, 0.1), "10 to 50 %": (0.1, 0.5), "from 50 %": (0.5, np.inf)}
"""Shares of the image's area that a box covers, from the first up to below the second."""


def analyze_errors(truth: Tables, detections: pa.Table) -> Analysis:
    """`classes` and `sizes` with their boxes, accuracy and mean IoU, `kinds` of answers, `thresholds`, `worst_images`.

    A box is wrong where its IoU is at most 0.5. The worst images have the lowest IoU, as a mean where an image has
    several boxes; of equals the surest answer comes first. Images without a box ask nothing, nor do crowd regions.
    """
    truth = dataclasses.replace(truth, boxes=without_crowds(truth.boxes))
    judged = match_boxes(truth, detections)
    image_ids, first_box, image_of_box = np.unique(
        truth.boxes["image_id"].to_numpy(), return_index=True, return_inverse=True
    )
    mean_ious = np.bincount(image_of_box, weights=judged.ious) / np.bincount(image_of_box)
    worst = np.lexsort((-judged.scores[first_box], mean_ious))[:WORST_IMAGES]
    report = {
        "classes": _classes(truth, judged),
        "sizes": _sizes(truth, judged),
        "kinds": _kinds(judged),
        "thresholds": [_at(threshold, judged) for threshold in THRESHOLDS],
        "worst_images": named_images(truth, image_ids[worst], [{"mean_iou": float(mean_ious[row])} for row in worst]),
    }
    return Analysis(report, image_ids[worst], threshold=0.0)


def _classes(truth: Tables, judged: Matches) -> list[dict[str, Any]]:
    """In order of their ids."""
    category_ids = truth.boxes["category_id"].to_numpy()
    return [
        {"category_id": row["category_id"], "name": row["name"], **_scores(judged, category_ids == row["category_id"])}
        for row in truth.categories.sort_by("category_id").to_pylist()
    ]


def _sizes(truth: Tables, judged: Matches) -> list[dict[str, Any]]:
    sides = (boxes_xywh_of(truth.boxes) / image_scale_of(truth.boxes, truth.images))[:, 2:]
    covered = sides[:, 0] * sides[:, 1]
    return [
        {"size": name, **_scores(judged, (covered >= smallest) & (covered < largest))}
        for name, (smallest, largest) in SIZES.items()
    ]


def _kinds(judged: Matches) -> list[dict[str, Any]]:
    """Shares of all boxes; together 1."""
    wrong_box = judged.ious <= IOU
    kinds = {
        "right": judged.right & ~wrong_box,
        "class wrong": ~judged.right & ~wrong_box,
        "box wrong": judged.right & wrong_box,
        "both wrong": ~judged.right & wrong_box,
    }
    return [{"kind": kind, "share": share(chosen.sum(), len(chosen))} for kind, chosen in kinds.items()]


def _at(threshold: float, judged: Matches) -> dict[str, Any]:
    """The share of boxes with an answer above a cut-off, and the scores of these answers alone."""
    above = judged.scores >= threshold
    scores = _scores(judged, above)
    return {"threshold": threshold, "answered": share(scores.pop("boxes"), len(above)), **scores}


def _scores(judged: Matches, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Of some of the boxes."""
    boxes = int(chosen.sum())
    return {
        "boxes": boxes,
        "accuracy": share(judged.right[chosen].sum(), boxes),
        "mean_iou": share(judged.ious[chosen].sum(), boxes),
    }
