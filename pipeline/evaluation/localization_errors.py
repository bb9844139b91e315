"""Errors of localizers: accuracy and IoU by class, size and threshold, and the worst images.

As in the scores, every true box is compared with the one prediction of its image; without a prediction it has a wrong
class and IoU 0.
"""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_scale_of, without_crowds
from pipeline.evaluation.config import ScorerName
from pipeline.evaluation.error_analysis import THRESHOLDS, WORST_IMAGES, ErrorAnalysis, ratio
from pipeline.evaluation.localization import Matches, match_boxes
from pipeline.plots.panels import Bars, Lines, classes_panel, sizes_panel

IOU = 0.5

SIZES = {"below 1 %": (0, 0.01), "1 to 10 %": (0.01, 0.1), "10 to 50 %": (0.1, 0.5), "from 50 %": (0.5, np.inf)}
"""Ranges of the fraction of the image that a box covers, the upper limit excluded."""

CURVES = {"accuracy": "accuracy", "mean IoU": "mean_iou", "predicted": "predicted_fraction"}
"""What is plotted over the thresholds, and its key in the report."""


def analyze_errors(ground_truth: Tables, detections: pa.Table, scorer: ScorerName = "hotcoco") -> ErrorAnalysis:
    """Analyze the errors of localizations.

    A predicted box is wrong if its IoU is at most 0.5. The worst images have the lowest IoU, averaged over their boxes;
    of equal IoUs the prediction with the highest confidence comes first. Crowd regions and images without a box are not
    counted.

    Args:
        ground_truth: the scored images with their boxes.
        detections: a table with schema.DETECTIONS and at most one row per image.
        scorer: the library that computes the IoU, see `match_boxes`.

    Returns:
        An analysis whose report has `classes` and `sizes` with boxes, accuracy and mean IoU, `error_types`,
        `thresholds` and `worst_images`. Its images have schema.LOCALIZER_IMAGES.

    """
    ground_truth = dataclasses.replace(ground_truth, boxes=without_crowds(ground_truth.boxes))
    matches = match_boxes(ground_truth, detections, scorer)
    images = _image_table(ground_truth, detections, matches)
    scored = images.filter(images["mean_iou"].is_valid())
    order = np.lexsort((-scored["score"].fill_null(-np.inf).to_numpy(), scored["mean_iou"].to_numpy()))
    worst = scored.take(order[:WORST_IMAGES])
    report = {
        "classes": _class_rows(ground_truth, matches),
        "sizes": _size_rows(ground_truth, matches),
        "error_types": _error_type_rows(matches),
        "thresholds": [_threshold_row(threshold, matches) for threshold in THRESHOLDS],
        "worst_images": worst.to_pylist(),
    }
    return ErrorAnalysis(report, images, worst["image_id"].to_numpy(), threshold=0.0)


def error_panels(report: dict[str, Any]) -> list[Bars | Lines]:
    """Panels of error types, of accuracy and IoU by threshold, and of mean IoU by size and class."""
    error_types, rows = report["error_types"], report["thresholds"]
    return [
        Bars(
            "Predictions by error type, as fractions of all boxes",
            [row["error_type"] for row in error_types],
            [row["fraction"] for row in error_types],
        ),
        Lines(
            "Predictions above a score threshold",
            "score threshold",
            [row["threshold"] for row in rows],
            {name: [row[key] for row in rows] for name, key in CURVES.items()},
        ),
        sizes_panel(report["sizes"], "mean_iou", "Mean IoU by fraction of the image (boxes)"),
        classes_panel(report["classes"], "mean_iou", "Mean IoU"),
    ]


def _image_table(ground_truth: Tables, detections: pa.Table, matches: Matches) -> pa.Table:
    """The numbers of each image with schema.LOCALIZER_IMAGES, in ascending order of ids."""
    images = ground_truth.images.sort_by("image_id")
    image_ids = images["image_id"].to_numpy()
    image_rows = np.searchsorted(image_ids, ground_truth.boxes["image_id"].to_numpy())
    boxes, iou_sums, correct = (
        np.bincount(image_rows, weights, len(image_ids)) for weights in (None, matches.ious, matches.correct)
    )
    without_box = boxes == 0
    mean_ious, accuracies = (
        pa.array(np.divide(sums, boxes, out=np.zeros(len(boxes)), where=~without_box), mask=without_box)
        for sums in (iou_sums, correct)
    )
    detection_rows = pc.index_in(images["image_id"], value_set=detections["image_id"].combine_chunks())
    scores = detections["score"].take(detection_rows)
    columns = [images["image_id"], images["file_name"], boxes, mean_ious, accuracies, scores]
    return pa.table(columns, schema.LOCALIZER_IMAGES)


def _class_rows(ground_truth: Tables, matches: Matches) -> list[dict[str, Any]]:
    """One row per category, in the order of their ids."""
    category_ids = ground_truth.boxes["category_id"].to_numpy()
    return [
        {"category_id": row["category_id"], "name": row["name"], **_scores(matches, category_ids == row["category_id"])}
        for row in ground_truth.categories.sort_by("category_id").to_pylist()
    ]


def _size_rows(ground_truth: Tables, matches: Matches) -> list[dict[str, Any]]:
    boxes = ground_truth.boxes
    sides = (boxes_xywh_of(boxes) / image_scale_of(boxes, ground_truth.images))[:, 2:]
    covered = sides[:, 0] * sides[:, 1]
    return [
        {"size": name, **_scores(matches, (covered >= smallest) & (covered < largest))}
        for name, (smallest, largest) in SIZES.items()
    ]


def _error_type_rows(matches: Matches) -> list[dict[str, Any]]:
    """Fractions of all boxes, with the sum 1."""
    wrong_box = matches.ious <= IOU
    error_types = {
        "correct": matches.correct & ~wrong_box,
        "class wrong": ~matches.correct & ~wrong_box,
        "box wrong": matches.correct & wrong_box,
        "both wrong": ~matches.correct & wrong_box,
    }
    return [
        {"error_type": name, "fraction": ratio(selected.sum(), len(selected))} for name, selected in error_types.items()
    ]


def _threshold_row(threshold: float, matches: Matches) -> dict[str, Any]:
    """The fraction of boxes with a prediction above the threshold, and the scores of these boxes alone."""
    above = matches.scores >= threshold
    scores = _scores(matches, above)
    return {"threshold": threshold, "predicted_fraction": ratio(scores.pop("boxes"), len(above)), **scores}


def _scores(matches: Matches, selected: NDArray[np.bool_]) -> dict[str, Any]:
    """Number, accuracy and mean IoU of the selected boxes."""
    boxes = int(selected.sum())
    return {
        "boxes": boxes,
        "accuracy": ratio(matches.correct[selected].sum(), boxes),
        "mean_iou": ratio(matches.ious[selected].sum(), boxes),
    }
