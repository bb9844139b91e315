"""What the error analyses of all tasks have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Score thresholds 0.05, 0.1 ... 0.95. A score equal to a threshold is above it."""

WORST_IMAGES = 12


@dataclass(frozen=True)
class ErrorAnalysis:
    """The errors of a system on the scored images.

    Attributes:
        report: the content of errors.json: lists of rows `classes`, `sizes`, `error_types`, `thresholds` and
            `worst_images`. A value without a denominator, such as the score of a class without boxes, is None.
        worst_image_ids: int64, at most WORST_IMAGES, the worst first; remaining ties are broken by the lower id.
        threshold: predictions with a lower score had no influence on the choice of `worst_image_ids`.

    """

    report: dict[str, Any]
    worst_image_ids: NDArray[np.int64]
    threshold: float


def image_rows(
    ground_truth: Tables, image_ids: NDArray[np.int64], values: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One row per image for a report: its id, its file name and its values."""
    ids, file_names = ground_truth.images["image_id"].to_pylist(), ground_truth.images["file_name"].to_pylist()
    names = dict(zip(ids, file_names, strict=True))
    return [
        {"image_id": image_id, "file_name": names[image_id], **row}
        for image_id, row in zip(image_ids.tolist(), values, strict=True)
    ]


def ratio(part: float, whole: float) -> float | None:
    """The quotient for a report; None if `whole` is 0."""
    return float(part / whole) if whole else None
