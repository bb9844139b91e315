"""The verb `analyze_errors` that both kinds of task answer: which errors a system makes, and in which images."""

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables

Report = dict[str, Any]
"""Ready for JSON. A score that nothing asks for, such as that of a class without boxes, is None."""

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Confidences 0.05, 0.1 ... 0.95. What is as sure as a cut-off is above it."""

WORST_IMAGES = 12


class Analysis(NamedTuple):
    """The errors of a system on the images of `truth`.

    report: by class, by size, by kind, by cut-off, and the worst images, each a list of rows; what stands in a row
            says `analyze_errors` of the task.
    worst_image_ids: the worst first, at most WORST_IMAGES; of equals in the end the lower id.
    threshold: the confidence below which `worst_image_ids` takes no notice of an answer.
    """

    report: Report
    worst_image_ids: NDArray[np.int64]
    threshold: float


class TaskErrors(Protocol):
    """pipeline/evaluation/detection_errors.py and localization_errors.py"""

    def analyze_errors(self, truth: Tables, detections: pa.Table) -> Analysis:
        """What is wrong with `detections`, which may be empty, as may be the boxes of `truth`."""


def task_errors(name: str) -> TaskErrors:
    """The errors of that task, which `scores.task` has checked."""
    return cast(TaskErrors, importlib.import_module(f"pipeline.evaluation.{name}_errors"))


def named_images(truth: Tables, image_ids: NDArray[np.int64], values: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each of those images: its id, its file name and its values."""
    names = dict(zip(truth.images["image_id"].to_pylist(), truth.images["file_name"].to_pylist(), strict=True))
    return [
        {"image_id": image_id, "file_name": names[image_id], **row}
        for image_id, row in zip(image_ids.tolist(), values, strict=True)
    ]


def share(part: float, whole: float) -> float | None:
    """A quotient as it stands in a report; None where there is nothing to divide by."""
    return float(part / whole) if whole else None
