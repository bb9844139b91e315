"""One class and one box per example.

`class_prediction` int32 [1] counts the classes from 0; `bbox_prediction` float32 [4] holds fractions of the image in
the order of the published CSV: x_min, x_max, y_min, y_max.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import medoid_box, xywh_to_xyxy, xyxy_to_xywh
from pipeline.systems.interfaces import Arrays, Decoded, Truth
from pipeline.systems.labels import contiguous_labels
from pipeline.systems.snack_localizer.config import Targets

TASK = "localization"

label_to_category_id = contiguous_labels

ORDER = [0, 2, 1, 3]
"""From x_min, y_min, x_max, y_max to x_min, x_max, y_min, y_max, and back."""


def objects(truth: Truth, _: Targets) -> NDArray[np.bool_]:
    """No crowd region: a localizer has one answer, and a region of many objects is none."""
    return ~truth.is_crowd


def examples(truth: Truth, targets: Targets, *, training: bool) -> list[NDArray[np.int64]]:
    """Every box as an example of its own, or the box that overlaps the others most; the latter for scoring."""
    rows = np.flatnonzero(~truth.is_crowd)
    if not len(rows):
        return []
    if training and targets.rows == "every":
        return list(rows[:, None])
    return [rows[medoid_box(xywh_to_xyxy(truth.boxes_rel_xywh[rows]))][None]]


def encode(truth: Truth, _: Targets) -> dict[str, NDArray[Any]]:
    """The example's only box."""
    corners = xywh_to_xyxy(truth.boxes_rel_xywh)[0]
    return {"class_prediction": truth.labels.astype(np.int32), "bbox_prediction": corners[ORDER].astype(np.float32)}


def as_outputs(targets: Arrays, num_labels: int) -> dict[str, NDArray[Any]]:
    """`class_prediction` int [B, 1] as probabilities [B, num_labels]; `bbox_prediction` as it is."""
    probabilities = np.eye(num_labels)[targets["class_prediction"][:, 0]]
    return {"class_prediction": probabilities, "bbox_prediction": targets["bbox_prediction"]}


def class_probabilities(outputs: Arrays) -> NDArray[np.float64]:
    """[B, num_labels], each row adding up to 1."""
    return np.asarray(outputs["class_prediction"], np.float64)


def decode(outputs: Arrays) -> Decoded:
    """One box per image; its score is the class probability. The linear head can answer an inverted box."""
    probabilities = class_probabilities(outputs)
    return Decoded(
        rows=np.arange(len(probabilities)),
        boxes_rel_xywh=xyxy_to_xywh(np.asarray(outputs["bbox_prediction"], np.float64)[:, ORDER]),
        labels=probabilities.argmax(axis=1),
        scores=probabilities.max(axis=1, initial=0),
    )
