"""Errors of detectors: which classes, sizes and kinds of error cost how much, and in which images the most are.

Right, wrong and missed are COCO's at IoU 0.5: the surest detection of a box is right, a further one of the same box is
wrong, and what lies in a crowd region of its class is neither.
"""

from typing import Any

import hotcoco
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables
from pipeline.evaluation.detection import evaluation_of
from pipeline.evaluation.error_analysis import THRESHOLDS, WORST_IMAGES, Analysis, named_images, share

IOU = 0.5

KINDS = {
    "classification": "Cls",
    "localization": "Loc",
    "both": "Both",
    "duplicate": "Dupe",
    "background": "Bkg",
    "missed": "Miss",
}
"""TIDE's kinds of errors (Bolya et al., 2020), and what hotcoco calls them."""


def analyze_errors(truth: Tables, detections: pa.Table) -> Analysis:
    """`classes` and `sizes` with their boxes and AP, `kinds` of errors, `thresholds`, `best_f1` and `worst_images`.

    Crowd boxes are no boxes to find. The worst images have the most wrong and missed boxes at the cut-off of the best
    F1 over all classes, the lowest such cut-off.
    """
    evaluation = evaluation_of(truth, detections)
    right, wrong = _right_and_wrong(evaluation, detections.num_rows)
    scores = detections["score"].to_numpy()
    boxes = truth.boxes.filter(pc.invert(truth.boxes["is_crowd"]))
    thresholds = [_at(threshold, scores, right, wrong, boxes.num_rows) for threshold in THRESHOLDS]
    best = max(thresholds, key=lambda row: row["f1"] or 0)
    above = scores >= best["threshold"]
    image_ids = np.sort(truth.images["image_id"].to_numpy())
    wrong_of_image = _per_image(image_ids, detections.filter(pa.array(above & wrong)))
    missed_of_image = _per_image(image_ids, boxes) - _per_image(image_ids, detections.filter(pa.array(above & right)))
    worst = np.argsort(-(wrong_of_image + missed_of_image), kind="stable")[:WORST_IMAGES]
    errors = [{"wrong": int(wrong_of_image[row]), "missed": int(missed_of_image[row])} for row in worst]
    report = {
        "classes": _classes(evaluation, truth, boxes),
        "sizes": _sizes(evaluation, boxes),
        "kinds": _kinds(evaluation),
        "thresholds": thresholds,
        "best_f1": best,
        "worst_images": named_images(truth, image_ids[worst], errors),
    }
    return Analysis(report, image_ids[worst], best["threshold"])


def _right_and_wrong(evaluation: hotcoco.COCOeval, num_detections: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """By row of the detections; what COCO ignores is neither."""
    statuses = evaluation.image_diagnostics(iou_thr=IOU)["dt_status"]
    by_row = np.array([statuses.get(row, "") for row in range(1, num_detections + 1)], str)
    return by_row == "tp", by_row == "fp"


def _classes(evaluation: hotcoco.COCOeval, truth: Tables, boxes: pa.Table) -> list[dict[str, Any]]:
    """In order of their ids."""
    precision = _precision(evaluation)
    names = dict(zip(truth.categories["category_id"].to_pylist(), truth.categories["name"].to_pylist(), strict=True))
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


def _sizes(evaluation: hotcoco.COCOeval, boxes: pa.Table) -> list[dict[str, Any]]:
    """COCO's ranges of area: below 32 x 32 px, up to 96 x 96 px, above. A box at a border is of both, as in COCO."""
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


def _kinds(evaluation: hotcoco.COCOeval) -> list[dict[str, Any]]:
    """How many errors there are of each kind, and how much higher AP50 would be without them."""
    found = evaluation.tide_errors(pos_thr=IOU)
    return [
        {"kind": kind, "errors": found["counts"][short], "lost_AP50": float(found["delta_ap"][short])}
        for kind, short in KINDS.items()
    ]


def _at(
    threshold: float, scores: NDArray[np.float64], right: NDArray[np.bool_], wrong: NDArray[np.bool_], num_boxes: int
) -> dict[str, Any]:
    """Precision, recall and F1 of the detections above a cut-off, of all classes together."""
    above = scores >= threshold
    num_right, num_wrong = int((right & above).sum()), int((wrong & above).sum())
    return {
        "threshold": threshold,
        "precision": share(num_right, num_right + num_wrong),
        "recall": share(num_right, num_boxes),
        "f1": share(2 * num_right, num_right + num_wrong + num_boxes),
    }


def _precision(evaluation: hotcoco.COCOeval) -> NDArray[np.float64]:
    """By IoU from 0.5 on, recall, class and size, all sizes first; -1 where there is no box to find."""
    assert evaluation.eval is not None, "evaluation_of has accumulated"
    precision: NDArray[np.float64] = evaluation.eval["precision"][..., -1]  # of 100 detections, not of 1 or 10
    return precision


def _average(precision: NDArray[np.float64]) -> float | None:
    """AP; None where there is no box to find."""
    known = precision[precision > -1]
    return float(known.mean()) if len(known) else None


def _per_image(image_ids: NDArray[np.int64], rows: pa.Table) -> NDArray[np.int64]:
    """How many of `rows` each image has; `image_ids` ascend."""
    return np.bincount(np.searchsorted(image_ids, rows["image_id"].to_numpy()), minlength=len(image_ids))
