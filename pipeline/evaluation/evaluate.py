"""The evaluation of a trained model: one pass over the scored images, scores, baseline and error analysis."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.error_analysis import ErrorAnalysis
from pipeline.evaluation.split import ScoredSplit
from pipeline.evaluation.task import Task
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.inference.detections import detections_in_image_coordinates
from pipeline.inference.predictor import Predictor
from pipeline.packing.shards import evenly_spaced


@dataclass(frozen=True)
class SplitPredictions:
    """What one pass of a model over the scored images yields.

    Attributes:
        detections: all predictions with schema.DETECTIONS, in pixels of the original images, image by image.
        boxes: the predictions of each image, by image id, relative to the model input.
        plotted_ids: the images that are plotted, int64 [P].
        plotted_outputs: the model's outputs for them by name, each [P, ...].

    """

    detections: pa.Table
    boxes: dict[int, LabeledBoxes]
    plotted_ids: NDArray[np.int64]
    plotted_outputs: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        predictions: of the model.
        scores: of the predictions, by name, each 0..1; None if the scored images have no box to find.
        baseline_scores: of the constant baseline, likewise.
        errors: of the predictions.

    """

    predictions: SplitPredictions
    scores: dict[str, float | None]
    baseline_scores: dict[str, float | None]
    errors: ErrorAnalysis

    def metrics(self, task: Task, split: str, targets_report: dict[str, Any]) -> dict[str, Any]:
        """The content of metrics.json: the scores, next to the baseline and what the targets stage reported.

        Scores are None if the scored images have no box to find; `reason` then says so.
        """
        name = task.primary_metric
        reason = {"reason": f"No image of split {split} has a box to find."} if self.scores[name] is None else {}
        return {
            **self.scores,
            f"baseline_{name}": self.baseline_scores[name],
            f"oracle_{name}": targets_report[f"oracle_{name}"],
            "unencodable_boxes": targets_report[f"{split}_unencodable_boxes"],
            "boxes": targets_report[f"{split}_boxes"],
            "images": len(self.predictions.boxes),
            **reason,
        }


def predict_split(predictor: Predictor, split: ScoredSplit, num_plotted: int) -> SplitPredictions:
    """Run the model once over the scored images; keep its outputs for `num_plotted` evenly spaced ones."""
    plotted_ids = evenly_spaced(np.sort(split.image_ids), num_plotted)
    boxes: dict[int, LabeledBoxes] = {}
    tables = [schema.DETECTIONS.empty_table()]
    kept_ids: list[NDArray[np.int64]] = []
    kept_outputs: list[dict[str, NDArray[Any]]] = []
    for image_ids, batch in predictor.predict_shards(split.images, split.image_ids):
        boxes |= zip(image_ids.tolist(), batch.boxes, strict=True)
        tables.append(detections_in_image_coordinates(batch.boxes, image_ids, split.transforms, split.labels))
        plotted = np.isin(image_ids, plotted_ids)
        kept_ids.append(image_ids[plotted])
        kept_outputs.append({name: values[plotted] for name, values in batch.outputs.items()})
    order = np.argsort(np.concatenate(kept_ids))  # plotted_ids are sorted
    outputs = {name: np.concatenate([kept[name] for kept in kept_outputs])[order] for name in kept_outputs[0]}
    return SplitPredictions(pa.concat_tables(tables), boxes, plotted_ids, outputs)


def evaluate_model(predictor: Predictor, task: Task, split: ScoredSplit, train: Tables, num_plotted: int) -> Evaluation:
    """Predict the scored images and score the predictions.

    Args:
        predictor: the trained model.
        task: the task of its system.
        split: the scored images.
        train: the tables of the training split, for the baseline.
        num_plotted: the number of images that will be plotted.

    """
    predictions = predict_split(predictor, split, num_plotted)
    baseline = task.constant_baseline(train, split.ground_truth)
    return Evaluation(
        predictions,
        task.score(split.ground_truth, predictions.detections),
        task.score(split.ground_truth, baseline),
        task.analyze_errors(split.ground_truth, predictions.detections),
    )
