"""One class and one box per image: `label` int32 [1] counts the classes from 0, `bbox` float32 [4] is rel xyxy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import xywh_to_xyxy, xyxy_to_xywh
from pipeline.systems.digits_localizer.config import Targets
from pipeline.systems.interfaces import Arrays, Decoded, Truth
from pipeline.systems.labels import contiguous_labels

TASK = "localization"

label_to_category_id = contiguous_labels


def objects(truth: Truth, _: Targets) -> NDArray[np.bool_]:
    """No crowd region: a localizer has one answer, and a region of many objects is none."""
    return ~truth.is_crowd


def examples(truth: Truth, _: Targets, *, training: bool) -> list[NDArray[np.int64]]:
    """Only an image with exactly one box tells a localizer what to answer, and has one right answer."""
    rows = np.flatnonzero(~truth.is_crowd)
    return [rows] if len(rows) == 1 else []


def encode(truth: Truth, _: Targets) -> dict[str, NDArray[Any]]:
    """The only box as rel xyxy."""
    corners = xywh_to_xyxy(truth.boxes_rel_xywh)[0]
    return {"label": truth.labels.astype(np.int32), "bbox": corners.astype(np.float32)}


def as_outputs(targets: Arrays, num_labels: int) -> dict[str, NDArray[Any]]:
    """`label` int [B, 1] as probabilities [B, num_labels]; `bbox` as it is."""
    return {"label": np.eye(num_labels)[targets["label"][:, 0]], "bbox": targets["bbox"]}


def decode(outputs: Arrays) -> Decoded:
    """`label` [B, num_labels] and `bbox` rel xyxy [B, 4] as one box per image; its score is the class probability."""
    probabilities = np.asarray(outputs["label"], np.float64)
    return Decoded(
        rows=np.arange(len(probabilities)),
        boxes_rel_xywh=xyxy_to_xywh(outputs["bbox"]),
        labels=probabilities.argmax(axis=1),
        scores=probabilities.max(axis=1, initial=0),
    )


def class_probabilities(outputs: Arrays) -> NDArray[np.float64]:
    """`label` as it is: [B, num_labels], each row summing to 1."""
    return np.asarray(outputs["label"], np.float64)
