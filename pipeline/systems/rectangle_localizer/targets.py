"""One box per image: `box` float32 [4] holds top, left, height and width, each sigmoid-encoded as in the original.

A side of y pixels in an image of 224 becomes sigmoid(y / 112 - 1), which lies in the range of the model's sigmoid; for
fractions f of the image that is sigmoid(2 f - 1), from 0.269 to 0.731.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError
from pipeline.geometry.boxes import Boxes
from pipeline.geometry.labeled_boxes import LabeledBoxes, one_per_image
from pipeline.systems.common.example_selection import single_object
from pipeline.systems.common.interfaces import NamedArrays, TargetCodec
from pipeline.systems.rectangle_localizer.config import TargetsConfig

ORDER = [1, 0, 3, 2]
"""From left, top, width, height to top, left, height, width, and back."""

MIN_SIDE_FRACTION, MAX_SIDE_FRACTION = 1 / 224, 223 / 224
"""Decoded sides are clipped to 1..223 pixels of 224."""


class RectangleCodec(TargetCodec[TargetsConfig]):
    """Encodes the only box of an image; there are no classes."""

    task = "localization"

    def label_to_category_id(self, category_ids: list[int]) -> NDArray[np.int32]:
        """Label 0 is the only category.

        Raises:
            BoxlineError: if there are several categories, since the model predicts no class.

        """
        if len(category_ids) != 1:
            raise BoxlineError(
                "params.yaml: a rectangle_localizer predicts no class, and its dataset has "
                f"{len(category_ids)} categories. Use a dataset with one category, or another system."
            )
        return np.array(category_ids, np.int32)

    def select_examples(
        self, ground_truth: LabeledBoxes, config: TargetsConfig, *, training: bool
    ) -> list[NDArray[np.int64]]:
        """Select images with exactly one box."""
        return single_object(ground_truth)

    def encode(self, ground_truth: LabeledBoxes, config: TargetsConfig) -> dict[str, NDArray[Any]]:
        """`box` float32 [4]."""
        return {"box": sigmoid_encode(ground_truth.boxes_rel_xywh)[0]}

    def oracle_outputs(self, targets: NamedArrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """`box` as it is."""
        return {"box": targets["box"]}

    def decode(self, outputs: NamedArrays) -> list[LabeledBoxes]:
        """One box per image with score 1: the model predicts no confidence."""
        encoded = np.clip(np.asarray(outputs["box"], np.float64), 1e-6, 1 - 1e-6)
        sides = np.clip((np.log(encoded / (1 - encoded)) + 1) / 2, MIN_SIDE_FRACTION, MAX_SIDE_FRACTION)
        return one_per_image(sides[:, ORDER], np.zeros(len(sides), np.int64), np.ones(len(sides)))


def sigmoid_encode(boxes_rel_xywh: Boxes) -> NDArray[np.float32]:
    """Boxes [N, 4] as the model should predict them, [N, 4].

    >>> sigmoid_encode(np.array([[0.5, 0.25, 0.125, 0.75]])).astype(float).round(4).tolist()  # left, top, width, height
    [[0.3775, 0.5, 0.6225, 0.3208]]
    """
    return (1 / (1 + np.exp(1 - 2 * boxes_rel_xywh[:, ORDER]))).astype(np.float32)
