"""Errors of detectors: what each class, size and error type costs, and the images with the most errors.

As in COCO at IoU 0.5, a detection is a true positive, a false positive or ignored. Of several detections of a box the
one with the highest score is the true positive; a detection in a crowd region of its class is ignored.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.coco_scorer import SIZES, CocoEvaluation, CocoScene, get_scorer
from pipeline.evaluation.config import ScorerName
from pipeline.evaluation.error_analysis import THRESHOLDS, WORST_IMAGES, ErrorAnalysis, ratio
from pipeline.evaluation.hotcoco_scorer import tide_errors
from pipeline.plots.panels import Bars, Lines, classes_panel, sizes_panel

ERROR_TYPES = {
    "classification": "Cls",
    "localization": "Loc",
    "both": "Both",
    "duplicate": "Dupe",
    "background": "Bkg",
    "missed": "Miss",
}
"""TIDE's error types (Bolya et al., 2020), and hotcoco's keys for them."""

CURVES = {"precision": "precision", "recall": "recall", "F1": "f1"}
"""What is plotted over the thresholds, and its key in the report."""


def analyze_errors(ground_truth: Tables, detections: pa.Table, scorer: ScorerName = "hotcoco") -> ErrorAnalysis:
    """Analyze the errors of detections.

    The worst images have the most false positives and missed boxes at the threshold with the best F1 over all classes;
    if several thresholds have it, at the lowest. Crowd regions are not counted as boxes.

    Args:
        ground_truth: the scored images with their boxes.
        detections: a table with schema.DETECTIONS.
        scorer: the library that matches detections with boxes. TIDE's error types always come from hotcoco.

    Returns:
        An analysis whose report has `classes` and `sizes` with boxes and AP, `error_types`, `thresholds`, `best_f1`
        (the row of `thresholds` with the best F1) and `worst_images`. Its images have schema.DETECTOR_IMAGES.

    """
    scene = CocoScene.of(ground_truth, detections)
    evaluation = get_scorer(scorer).evaluate(scene)
    num_boxes = int((~scene.is_crowd).sum())
    thresholds = [_threshold_row(threshold, scene.scores, evaluation, num_boxes) for threshold in THRESHOLDS]
    best = max(thresholds, key=lambda row: row["f1"] or 0)
    images = _image_table(ground_truth, scene, evaluation, best["threshold"])
    errors = images["wrong"].to_numpy() + images["missed"].to_numpy()
    worst = images.take(np.argsort(-errors, kind="stable")[:WORST_IMAGES])
    report = {
        "classes": _class_rows(scene, evaluation, ground_truth.categories),
        "sizes": _size_rows(scene, evaluation),
        "error_types": _error_type_rows(scene),
        "thresholds": thresholds,
        "best_f1": best,
        "worst_images": worst.to_pylist(),
    }
    return ErrorAnalysis(report, images, worst["image_id"].to_numpy(), best["threshold"])


def error_panels(report: dict[str, Any]) -> list[Bars | Lines]:
    """Panels of AP50 lost to each error type, of precision, recall and F1 by threshold, and of AP by size and class."""
    error_types, rows, best = report["error_types"], report["thresholds"], report["best_f1"]
    return [
        Bars(
            "AP50 lost to each error type (number of errors)",
            [f"{row['error_type']} ({row['errors']:,})" for row in error_types],
            [row["lost_AP50"] for row in error_types],
            scale_to_max=True,
        ),
        Lines(
            f"At IoU 0.5: best F1 {best['f1'] or 0:.3f} at {best['threshold']:.2f}",
            "score threshold",
            [row["threshold"] for row in rows],
            {name: [row[key] for row in rows] for name, key in CURVES.items()},
            marked=best["threshold"],
        ),
        sizes_panel(report["sizes"], "AP", "AP by size (boxes)"),
        classes_panel(report["classes"], "AP", "AP"),
    ]


def _image_table(ground_truth: Tables, scene: CocoScene, evaluation: CocoEvaluation, threshold: float) -> pa.Table:
    """The counts of each image with schema.DETECTOR_IMAGES, in ascending order of ids."""
    images = ground_truth.images.sort_by("image_id")
    above = scene.scores >= threshold
    boxes, matched, wrong = (
        np.bincount(image_rows, minlength=images.num_rows)
        for image_rows in (
            scene.box_images[~scene.is_crowd],
            scene.detection_images[above & evaluation.true_positive],
            scene.detection_images[above & evaluation.false_positive],
        )
    )
    columns = [images["image_id"], images["file_name"], boxes, matched, boxes - matched, wrong]
    return pa.table(columns, schema.DETECTOR_IMAGES)


def _class_rows(scene: CocoScene, evaluation: CocoEvaluation, categories: pa.Table) -> list[dict[str, Any]]:
    """One row per category, in the order of their ids."""
    names = dict(zip(categories["category_id"].to_pylist(), categories["name"].to_pylist(), strict=True))
    boxes = np.bincount(scene.box_categories[~scene.is_crowd], minlength=len(scene.category_ids))
    return [
        {
            "category_id": category_id,
            "name": names[category_id],
            "boxes": int(boxes[index]),
            "AP": _average(evaluation.precision[:, :, index, 0]),
            "AP50": _average(evaluation.precision[0, :, index, 0]),
        }
        for index, category_id in enumerate(scene.category_ids.tolist())
    ]


def _size_rows(scene: CocoScene, evaluation: CocoEvaluation) -> list[dict[str, Any]]:
    """COCO's ranges of area: below 32 x 32 px, up to 96 x 96 px, above. A box at a limit is in both, as in COCO."""
    areas = scene.areas[~scene.is_crowd]
    return [
        {
            "size": name,
            "boxes": int(((areas >= smallest) & (areas <= largest)).sum()),
            "AP": _average(evaluation.precision[:, :, :, index]),
        }
        for index, (name, (smallest, largest)) in enumerate(SIZES.items(), 1)  # 0 is all sizes
    ]


def _error_type_rows(scene: CocoScene) -> list[dict[str, Any]]:
    """How many errors of each type there are, and how much higher AP50 would be without them."""
    tide = tide_errors(scene)
    return [
        {"error_type": name, "errors": tide["counts"][key], "lost_AP50": float(tide["delta_ap"][key])}
        for name, key in ERROR_TYPES.items()
    ]


def _threshold_row(
    threshold: float, scores: NDArray[np.float64], evaluation: CocoEvaluation, num_boxes: int
) -> dict[str, Any]:
    """Precision, recall and F1 of all detections above a threshold, whatever their class."""
    above = scores >= threshold
    num_true, num_false = int((evaluation.true_positive & above).sum()), int((evaluation.false_positive & above).sum())
    return {
        "threshold": threshold,
        "precision": ratio(num_true, num_true + num_false),
        "recall": ratio(num_true, num_boxes),
        "f1": ratio(2 * num_true, num_true + num_false + num_boxes),
    }


def _average(precision: NDArray[np.float64]) -> float | None:
    """AP; None if there is no box to detect."""
    defined = precision[precision > -1]
    return float(defined.mean()) if len(defined) else None
