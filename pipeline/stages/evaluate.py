"""evaluate: score a trained model on images that it was not trained on, and plot its predictions and errors."""

import logging
from pathlib import Path

from pipeline.core import schema
from pipeline.core.atomic_files import atomic_directory, read_json, write_json
from pipeline.core.config import load_params, parse_config
from pipeline.core.formatting import format_score
from pipeline.core.parquet import write_table
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.config import EvaluateConfig
from pipeline.evaluation.evaluate import evaluate_model
from pipeline.evaluation.plots import write_curves, write_error_plots, write_prediction_plots
from pipeline.evaluation.split import ScoredSplit
from pipeline.evaluation.task import get_task
from pipeline.inference.predictor import Predictor
from pipeline.stages.runner import run_stage

logger = logging.getLogger(__name__)


def evaluate(
    system: str,
    validated: Path,
    download: Path,
    pack: Path,
    targets: Path,
    targets_report: Path,
    model: Path,
    curves: Path,
    out: Path,
    metrics: Path,
    errors: Path,
    plots: Path,
    curve_plots: Path,
) -> None:
    """Evaluate a trained model.

    Args:
        system: key in params.yaml.
        validated: folder of the validated tables.
        download: folder of the archives with the original images, which plots show.
        pack: folder of the packed images.
        targets: folder of the targets, which decide which images are scored.
        targets_report: report of the targets stage.
        model: folder of the trained model.
        curves: CSV file of the training curves.
        out: folder to write: detections.parquet, in pixels of the original images, and images.parquet, the numbers of
            each scored image.
        metrics: JSON file to write: the scores next to baseline and oracle.
        errors: JSON file to write: the error analysis.
        plots: folder to write: PNG files of predictions, errors, worst images and curves.
        curve_plots: folder to write: the curves as `dvc plots` reads them.

    """
    config = parse_config(load_params().system(system).evaluate, EvaluateConfig, f"systems.{system}.evaluate")
    tables = Tables.read(validated)
    predictor = Predictor.load(model)
    task = get_task(predictor.codec.task, config.scorer)
    split = ScoredSplit.read(config.split, tables, download, pack, targets, predictor.labels)
    evaluation = evaluate_model(predictor, task, split, tables.split("train"), config.plotted_images)
    predictions = evaluation.predictions
    with (
        atomic_directory(out) as tables_folder,
        atomic_directory(plots) as plots_folder,
        atomic_directory(curve_plots) as curves_folder,
    ):
        write_table(tables_folder / "detections.parquet", predictions.detections, schema.DETECTIONS)
        write_table(tables_folder / "images.parquet", evaluation.errors.images, task.image_schema)
        write_prediction_plots(plots_folder, predictor, task, split, predictions, config.score_threshold)
        write_error_plots(plots_folder, task, split, predictions, evaluation.errors)
        write_curves(plots_folder, curves_folder, curves)
    write_json(errors, evaluation.errors.report)
    write_json(metrics, evaluation.metrics(task, config.split, read_json(targets_report)))
    scores = ", ".join(f"{name} {format_score(value, '.4f')}" for name, value in evaluation.scores.items())
    logger.info("evaluated %s: %s", system, scores)


if __name__ == "__main__":
    run_stage(evaluate)
