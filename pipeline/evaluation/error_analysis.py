"""What the error analyses of all tasks have in common."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Score thresholds 0.05, 0.1 ... 0.95. A score equal to a threshold is above it."""

WORST_IMAGES = 12


@dataclass(frozen=True)
class ErrorAnalysis:
    """The errors of a system on the scored images.

    Attributes:
        report: the content of errors.json: lists of rows `classes`, `sizes`, `error_types`, `thresholds` and
            `worst_images`. A value without a denominator, such as the score of a class without boxes, is None.
        images: the numbers of each scored image, in ascending order of ids: schema.DETECTOR_IMAGES or
            schema.LOCALIZER_IMAGES.
        worst_image_ids: int64, at most WORST_IMAGES, the worst first; remaining ties are broken by the lower id.
        threshold: predictions with a lower score had no influence on the choice of `worst_image_ids`.

    """

    report: dict[str, Any]
    images: pa.Table
    worst_image_ids: NDArray[np.int64]
    threshold: float


def ratio(part: float, whole: float) -> float | None:
    """The quotient for a report; None if `whole` is 0."""
    return float(part / whole) if whole else None
