"""Boxes of one image with what belongs to them: what is drawn, logged and compared."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import Boxes


@dataclass(frozen=True)
class LabeledBoxes:
    """Boxes on one square image: rel xywh [N, 4], labels [N], and scores [N] or None for true boxes."""

    boxes_rel_xywh: Boxes
    labels: NDArray[np.integer[Any]]
    scores: NDArray[np.float64] | None = None

    def above(self, threshold: float) -> "LabeledBoxes":
        """Those with at least that score."""
        assert self.scores is not None, "true boxes have no score"
        kept = self.scores >= threshold
        return LabeledBoxes(self.boxes_rel_xywh[kept], self.labels[kept], self.scores[kept])
