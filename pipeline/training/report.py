"""The report of a training: curves as CSV, counts and speed as JSON, and the layers of the model."""

import csv
import logging
from pathlib import Path
from typing import Any

import keras

from pipeline.core.atomic_files import write_json
from pipeline.training.checkpoint import TrainingState
from pipeline.training.fingerprint import backend_version
from pipeline.training.fit import TrainingData
from pipeline.training.model_description import model_description

logger = logging.getLogger(__name__)


def training_summary(state: TrainingState, data: TrainingData, model: keras.Model) -> dict[str, Any]:
    """Counts, seconds and the backend of a complete training.

    Args:
        state: the state of the complete training.
        data: what the model was trained on.
        model: the trained model.

    """
    epochs = len(state.history)
    return {
        "backend": backend_version(),
        "images": data.epoch_examples if data.synthetic_batches else data.num_images(data.training_rows),
        "held_out_images": data.num_images(data.validation_rows),
        "epochs": epochs,
        "parameters": model.count_params(),
        "seconds": round(state.seconds, 1),
        "images_per_second": round(epochs * data.epoch_examples / state.seconds, 1) if state.seconds else 0.0,
    }


def write_report(folder: Path, history: list[dict[str, Any]], summary: dict[str, Any], model: keras.Model) -> None:
    """Write the files that describe a training.

    curves.csv   one row per epoch
    train.json   the summary
    model.md     the layers of the model as a table and as a diagram

    Args:
        folder: receives the files.
        history: the rows of curves.csv.
        summary: a result of `training_summary`.
        model: the trained model.

    """
    _write_curves(folder / "curves.csv", history)
    write_json(folder / "train.json", summary)
    (folder / "model.md").write_text(model_description(model), encoding="utf-8")
    logger.info("trained on %(images)d images for %(epochs)d epochs in %(seconds).1f s", summary)


def _write_curves(path: Path, history: list[dict[str, Any]]) -> None:
    # Phases may have different metrics: the cells of the others stay empty.
    names = list(dict.fromkeys(["epoch", "phase", "loss", "val_loss", *(name for row in history for name in row)]))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(history)
