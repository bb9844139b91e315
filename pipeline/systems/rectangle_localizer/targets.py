"""One box per image: `box` float32 [4] holds top, left, height and width, each squeezed as the original does.

A side of y pixels in an image of 224 becomes sigmoid(y / 112 - 1), so that it lies where the model's sigmoid can
answer it; with fractions f of the image that is sigmoid(2 f - 1), from 0.269 to 0.731.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError
from pipeline.geometry.boxes import Boxes
from pipeline.systems.interfaces import Arrays, Decoded, Truth
from pipeline.systems.rectangle_localizer.config import Targets

TASK = "localization"

ORDER = [1, 0, 3, 2]
"""From left, top, width, height to top, left, height, width, and back."""

SMALLEST, LARGEST = 1 / 224, 223 / 224
"""Decoded sides are clipped to 1..223 pixels of 224."""


def label_to_category_id(category_ids: list[int]) -> NDArray[np.int32]:
    """Label 0 is the only category: the model answers no class. Raises BoxlineError where there are several."""
    if len(category_ids) != 1:
        raise BoxlineError(
            f"params.yaml: a rectangle_localizer answers no class, and its dataset has {len(category_ids)} categories. "
            "Give it a dataset with one category, or take another system."
        )
    return np.array(category_ids, np.int32)


def objects(truth: Truth, _: Targets) -> NDArray[np.bool_]:
    """No crowd region: a localizer has one answer, and a region of many objects is none."""
    return ~truth.is_crowd


def examples(truth: Truth, _: Targets, *, training: bool) -> list[NDArray[np.int64]]:
    """Only an image with exactly one box."""
    rows = np.flatnonzero(~truth.is_crowd)
    return [rows] if len(rows) == 1 else []


def encode(truth: Truth, _: Targets) -> dict[str, NDArray[Any]]:
    """The only box, squeezed."""
    return {"box": sigmoid_encode(truth.boxes_rel_xywh)[0]}


def sigmoid_encode(boxes_rel_xywh: Boxes) -> NDArray[np.float32]:
    """Boxes [N, 4] as the model shall answer them, [N, 4].

    >>> squeeze(np.array([[0.5, 0.25, 0.125, 0.75]])).astype(float).round(4).tolist()  # left, top, width, height
    [[0.3775, 0.5, 0.6225, 0.3208]]
    """
    return (1 / (1 + np.exp(1 - 2 * boxes_rel_xywh[:, ORDER]))).astype(np.float32)


def as_outputs(targets: Arrays, _num_labels: int) -> dict[str, NDArray[Any]]:
    """`box` as it is."""
    return {"box": targets["box"]}


def decode(outputs: Arrays) -> Decoded:
    """`box` [B, 4] as one box per image, with score 1: the model says nothing of how sure it is."""
    squeezed = np.clip(np.asarray(outputs["box"], np.float64), 1e-6, 1 - 1e-6)
    sides = np.clip((np.log(squeezed / (1 - squeezed)) + 1) / 2, SMALLEST, LARGEST)
    count = len(sides)
    return Decoded(np.arange(count), sides[:, ORDER], np.zeros(count, np.int64), np.ones(count))
