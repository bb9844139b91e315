"""The one record for the boxes of an image: ground truth, predictions, and what is drawn or logged."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import Boxes, as_boxes


@dataclass(frozen=True, eq=False)
class LabeledBoxes:
    """The boxes of one image. Ground truth has no scores, predictions have one per box.

    Attributes:
        boxes_rel_xywh: float64 [N, 4], left, top, width and height as fractions of the image or model input.
        labels: int64 [N], the index of a model output for each box.
        scores: float64 [N] in 0..1, or None for ground truth.
        is_crowd: bool [N], which boxes are crowd regions; False for every box unless given. A crowd region holds
            several objects that nobody annotated one by one: it is never a target, and a prediction inside it is no
            false positive.

    Raises:
        ValueError: if the arrays differ in length.

    """

    boxes_rel_xywh: Boxes
    labels: NDArray[np.int64]
    scores: NDArray[np.float64] | None = None
    is_crowd: NDArray[np.bool_] = None  # type: ignore[assignment]  # set below where it is not given

    def __post_init__(self) -> None:
        boxes, labels = as_boxes(self.boxes_rel_xywh), np.asarray(self.labels, np.int64)
        is_crowd = np.zeros(len(boxes), bool) if self.is_crowd is None else np.asarray(self.is_crowd, bool)
        scores = None if self.scores is None else np.asarray(self.scores, np.float64)
        for name, values in (("labels", labels), ("scores", scores), ("is_crowd", is_crowd)):
            if values is not None and values.shape != (len(boxes),):
                raise ValueError(f"{name} has shape {values.shape}, expected ({len(boxes)},): one value per box")
        for name, value in (("boxes_rel_xywh", boxes), ("labels", labels), ("scores", scores), ("is_crowd", is_crowd)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: NDArray[Any]) -> "LabeledBoxes":
        """The chosen rows, as indices or as a mask."""
        scores = None if self.scores is None else self.scores[rows]
        return LabeledBoxes(self.boxes_rel_xywh[rows], self.labels[rows], scores, self.is_crowd[rows])

    @property
    def objects(self) -> "LabeledBoxes":
        """The boxes without the crowd regions."""
        return self[~self.is_crowd]

    def above(self, score_threshold: float) -> "LabeledBoxes":
        """The predictions with at least that score."""
        assert self.scores is not None, "ground truth has no scores"
        return self[self.scores >= score_threshold]


def one_per_image(boxes_rel_xywh: Boxes, labels: NDArray[np.int64], scores: NDArray[np.float64]) -> list[LabeledBoxes]:
    """A batch of single predictions, [B, 4], [B] and [B], as one record per image."""
    return [LabeledBoxes(boxes_rel_xywh[[i]], labels[[i]], scores[[i]]) for i in range(len(labels))]
