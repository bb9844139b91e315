"""One class and one box per image: `label` int32 [1] counts the classes from 0, `edges` float32 [4] holds left, right,
top and bottom as fractions of the image.

The model answers each edge as probabilities of evenly spaced positions from 0 to 1, [4, positions]; the edge is their
mean. Of an image with several boxes the one that overlaps the others most is the answer.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import medoid_box, xywh_to_xyxy, xyxy_to_xywh
from pipeline.systems.distributional_localizer.config import Targets
from pipeline.systems.interfaces import Arrays, Decoded, Truth
from pipeline.systems.labels import contiguous_labels

TASK = "localization"

label_to_category_id = contiguous_labels

ORDER = [0, 2, 1, 3]
"""From left, top, right, bottom to left, right, top, bottom, and back."""


def objects(truth: Truth, _: Targets) -> NDArray[np.bool_]:
    """No crowd region: a localizer has one answer, and a region of many objects is none."""
    return ~truth.is_crowd


def examples(truth: Truth, _: Targets, *, training: bool) -> list[NDArray[np.int64]]:
    """The most typical box, for training as for scoring, so that no image teaches contradictory answers."""
    rows = np.flatnonzero(~truth.is_crowd)
    return [rows[[medoid_box(xywh_to_xyxy(truth.boxes_rel_xywh[rows]))]]] if len(rows) else []


def encode(truth: Truth, _: Targets) -> dict[str, NDArray[Any]]:
    """The example's only box."""
    corners = xywh_to_xyxy(truth.boxes_rel_xywh)[0]
    return {"label": truth.labels.astype(np.int32), "edges": corners[ORDER].astype(np.float32)}


def as_outputs(targets: Arrays, num_labels: int) -> dict[str, NDArray[Any]]:
    """`label` int [B, 1] as probabilities [B, num_labels]; `edges` [B, 4] as probabilities of the positions 0 and 1."""
    edges = np.asarray(targets["edges"], np.float64)
    return {"label": np.eye(num_labels)[targets["label"][:, 0]], "edges": np.stack([1 - edges, edges], axis=-1)}


def class_probabilities(outputs: Arrays) -> NDArray[np.float64]:
    """[B, num_labels], each row adding up to 1. A model of one class answers only edges."""
    return np.asarray(outputs["label"], np.float64) if "label" in outputs else np.ones((len(outputs["edges"]), 1))


def decode(outputs: Arrays) -> Decoded:
    """One box per image; its score is the class probability."""
    probabilities = class_probabilities(outputs)
    edges = np.asarray(outputs["edges"], np.float64)
    return Decoded(
        rows=np.arange(len(edges)),
        boxes_rel_xywh=xyxy_to_xywh((edges @ np.linspace(0, 1, edges.shape[-1]))[:, ORDER]),
        labels=probabilities.argmax(axis=1),
        scores=probabilities.max(axis=1, initial=0),
    )
