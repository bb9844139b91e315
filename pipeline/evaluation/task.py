"""The interface of a task: how predictions are scored, analyzed and plotted."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables
from pipeline.evaluation.config import ScorerName
from pipeline.systems.common.interfaces import TaskName

if TYPE_CHECKING:
    from pipeline.evaluation.error_analysis import ErrorAnalysis
    from pipeline.plots.image_grid import PredictedImages


class Task(ABC):
    """Scores, errors and plots of one kind of prediction.

    Ground truth is given as tables of the scored images, predictions as tables with schema.DETECTIONS, both in pixels
    of the original images. Implementations import error analysis and plots only when they are called: the targets stage
    and the command line use nothing but scores.

    Args:
        scorer: the library that computes the scores.

    """

    primary_metric: ClassVar[str]
    """The score that is reported next to its baseline and its oracle value."""

    image_schema: ClassVar[pa.Schema]
    """The schema of the numbers of each scored image."""

    def __init__(self, scorer: ScorerName = "hotcoco") -> None:
        self.scorer = scorer

    @abstractmethod
    def score(self, ground_truth: Tables, detections: pa.Table) -> dict[str, float | None]:
        """Scores by name, each 0..1. All are None if there is no true box but crowd regions; tables may be empty."""

    @abstractmethod
    def constant_baseline(self, train: Tables, ground_truth: Tables) -> pa.Table:
        """Detections derived from the training boxes alone, without any pixel: their scores are the baseline.

        Both splits may be empty.
        """

    @abstractmethod
    def analyze_errors(self, ground_truth: Tables, detections: pa.Table) -> "ErrorAnalysis":
        """Find out which errors occur how often. Both tables may be empty."""

    @abstractmethod
    def plot_predictions(
        self, folder: Path, images: "PredictedImages", class_probabilities: NDArray[Any] | None
    ) -> None:
        """Write plots of predictions.

        Args:
            folder: receives the files.
            images: the images and the boxes to draw.
            class_probabilities: [N, num_labels], each in 0..1; None if the system predicts none per image.

        """

    @abstractmethod
    def plot_errors(self, path: Path, analysis: "ErrorAnalysis") -> None:
        """Write a plot of the numbers that `analyze_errors` found."""

    @abstractmethod
    def plot_worst_images(self, path: Path, images: "PredictedImages") -> None:
        """Write a plot of the worst images."""


def get_task(name: TaskName, scorer: ScorerName = "hotcoco") -> Task:
    """The task of that name, scored by a library. Only its own module is imported."""
    if name == "detection":
        from pipeline.evaluation.detection import DetectionTask

        return DetectionTask(scorer)
    from pipeline.evaluation.localization import LocalizationTask

    return LocalizationTask(scorer)
