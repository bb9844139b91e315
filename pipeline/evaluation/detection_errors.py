"""Errors of detectors: what each class, size and error type costs, and the images with the most errors.

As in COCO at IoU 0.5, a detection is a true positive, a false positive or ignored. Of several detections of a box the
one with the highest score is the true positive; a detection in a crowd region of its class is ignored.
"""

from typing import Any

import hotcoco
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables, without_crowds
from pipeline.evaluation.detection import coco_evaluation
from pipeline.evaluation.error_analysis import THRESHOLDS, WORST_IMAGES, ErrorAnalysis, image_rows, ratio
from pipeline.plots.panels import Bars, Lines, classes_panel, sizes_panel

IOU = 0.5

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


def analyze_errors(ground_truth: Tables, detections: pa.Table) -> ErrorAnalysis:
    """Analyze the errors of detections.

    The worst images have the most false positives and missed boxes at the threshold with the best F1 over all classes;
    if several thresholds have it, at the lowest. Crowd regions are not counted as boxes.

    Args:
        ground_truth: the scored images with their boxes.
        detections: a table with schema.DETECTIONS.

    Returns:
        An analysis whose report has `classes` and `sizes` with boxes and AP, `error_types`, `thresholds`, `best_f1`
        (the row of `thresholds` with the best F1) and `worst_images`.

    """
    evaluation = coco_evaluation(ground_truth, detections)
    true_positive, false_positive = _match_statuses(evaluation, detections.num_rows)
    scores = detections["score"].to_numpy()
    boxes = without_crowds(ground_truth.boxes)
    thresholds = [
        _threshold_row(threshold, scores, true_positive, false_positive, boxes.num_rows) for threshold in THRESHOLDS
    ]
    best = max(thresholds, key=lambda row: row["f1"] or 0)
    above = scores >= best["threshold"]
    image_ids = np.sort(ground_truth.images["image_id"].to_numpy())
    wrong = _count_by_image(image_ids, detections.filter(pa.array(above & false_positive)))
    detected = _count_by_image(image_ids, detections.filter(pa.array(above & true_positive)))
    missed = _count_by_image(image_ids, boxes) - detected
    worst = np.argsort(-(wrong + missed), kind="stable")[:WORST_IMAGES]
    counts = [{"wrong": int(wrong[row]), "missed": int(missed[row])} for row in worst]
    report = {
        "classes": _class_rows(evaluation, ground_truth, boxes),
        "sizes": _size_rows(evaluation, boxes),
        "error_types": _error_type_rows(evaluation),
        "thresholds": thresholds,
        "best_f1": best,
        "worst_images": image_rows(ground_truth, image_ids[worst], counts),
    }
    return ErrorAnalysis(report, image_ids[worst], best["threshold"])


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


def _match_statuses(evaluation: hotcoco.COCOeval, num_detections: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each detection is a true and whether it is a false positive; ignored ones are neither."""
    statuses = evaluation.image_diagnostics(iou_thr=IOU)["dt_status"]
    by_row = np.array([statuses.get(row, "") for row in range(1, num_detections + 1)], str)
    return by_row == "tp", by_row == "fp"


def _class_rows(evaluation: hotcoco.COCOeval, ground_truth: Tables, boxes: pa.Table) -> list[dict[str, Any]]:
    """One row per category, in the order of their ids."""
    precision = _precision(evaluation)
    categories = ground_truth.categories
    names = dict(zip(categories["category_id"].to_pylist(), categories["name"].to_pylist(), strict=True))
    category_ids = boxes["category_id"].to_numpy()
    return [
        {
            "category_id": category_id,
            "name": names[category_id],
            "boxes": int((category_ids == category_id).sum()),
            "AP": _average(precision[:, :, index, 0]),
            "AP50": _average(precision[0, :, index, 0]),
        }
        for index, category_id in enumerate(evaluation.params.cat_ids)
    ]


def _size_rows(evaluation: hotcoco.COCOeval, boxes: pa.Table) -> list[dict[str, Any]]:
    """COCO's ranges of area: below 32 x 32 px, up to 96 x 96 px, above. A box at a limit is in both, as in COCO."""
    precision = _precision(evaluation)
    areas = boxes["area"].to_numpy()
    ranges = zip(evaluation.params.area_rng_lbl, evaluation.params.area_rng, strict=True)
    return [
        {
            "size": name,
            "boxes": int(((areas >= smallest) & (areas <= largest)).sum()),
            "AP": _average(precision[:, :, :, index]),
        }
        for index, (name, (smallest, largest)) in enumerate(ranges)
        if name != "all"
    ]


def _error_type_rows(evaluation: hotcoco.COCOeval) -> list[dict[str, Any]]:
    """How many errors of each type there are, and how much higher AP50 would be without them."""
    tide = evaluation.tide_errors(pos_thr=IOU)
    return [
        {"error_type": name, "errors": tide["counts"][key], "lost_AP50": float(tide["delta_ap"][key])}
        for name, key in ERROR_TYPES.items()
    ]


def _threshold_row(
    threshold: float,
    scores: NDArray[np.float64],
    true_positive: NDArray[np.bool_],
    false_positive: NDArray[np.bool_],
    num_boxes: int,
) -> dict[str, Any]:
    """Precision, recall and F1 of all detections above a threshold, whatever their class."""
    above = scores >= threshold
    num_true, num_false = int((true_positive & above).sum()), int((false_positive & above).sum())
    return {
        "threshold": threshold,
        "precision": ratio(num_true, num_true + num_false),
        "recall": ratio(num_true, num_boxes),
        "f1": ratio(2 * num_true, num_true + num_false + num_boxes),
    }


def _precision(evaluation: hotcoco.COCOeval) -> NDArray[np.float64]:
    """Precision by IoU (from 0.5 on), recall, class and size (all sizes first); -1 if there is no box to detect."""
    assert evaluation.eval is not None, "coco_evaluation has accumulated"
    precision: NDArray[np.float64] = evaluation.eval["precision"][..., -1]  # of 100 detections, not of 1 or 10
    return precision


def _average(precision: NDArray[np.float64]) -> float | None:
    """AP; None if there is no box to detect."""
    defined = precision[precision > -1]
    return float(defined.mean()) if len(defined) else None


def _count_by_image(image_ids: NDArray[np.int64], rows: pa.Table) -> NDArray[np.int64]:
    """How many of `rows` each image has; `image_ids` are sorted."""
    return np.bincount(np.searchsorted(image_ids, rows["image_id"].to_numpy()), minlength=len(image_ids))
