"""The plots of an evaluation: the same files for every system of a task."""

import csv
from pathlib import Path

from pipeline.evaluation.error_analysis import ErrorAnalysis
from pipeline.evaluation.evaluate import SplitPredictions
from pipeline.evaluation.split import ScoredSplit
from pipeline.evaluation.task import Task
from pipeline.inference.predictor import Predictor
from pipeline.plots.curves import save_curves, write_curve_tables
from pipeline.systems.common.registry import get_system


def write_prediction_plots(
    folder: Path,
    predictor: Predictor,
    task: Task,
    split: ScoredSplit,
    predictions: SplitPredictions,
    score_threshold: float,
) -> None:
    """Write the task's plots of the predictions above the threshold, and the plots that only this system has."""
    image_ids, outputs = predictions.plotted_ids, predictions.plotted_outputs
    images = split.predicted_images(image_ids, predictions.detections, score_threshold)
    task.plot_predictions(folder, images, predictor.codec.class_probabilities(outputs))
    write_views = get_system(predictor.metadata.module).view_writer()
    if write_views is not None:
        boxes = [predictions.boxes[image_id] for image_id in image_ids.tolist()]
        write_views(
            folder,
            split.model_inputs(image_ids),
            outputs,
            split.objects(image_ids),
            boxes,
            split.labels.names,
            score_threshold,
        )


def write_error_plots(
    folder: Path, task: Task, split: ScoredSplit, predictions: SplitPredictions, errors: ErrorAnalysis
) -> None:
    """Write `errors.png`, and `worst.png` with the predictions that the analysis counted in the worst images.

    There is no `worst.png` if no image has anything to score.
    """
    task.plot_errors(folder / "errors.png", errors)
    images = split.predicted_images(errors.worst_image_ids, predictions.detections, errors.threshold)
    if len(images):
        task.plot_worst_images(folder / "worst.png", images)


def write_curves(folder: Path, tables_folder: Path, curves: Path) -> None:
    """Write `curves.png`, and a table per quantity for `dvc plots`, from the CSV file of a training.

    Nothing is written if no epoch was trained.
    """
    with curves.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows:
        save_curves(folder / "curves.png", rows)
        write_curve_tables(tables_folder, rows)
