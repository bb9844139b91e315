"""The report of a training: its curves as CSV, and counts and speed as JSON."""

import csv
import logging
from pathlib import Path
from typing import Any

import keras

from pipeline.core.atomic_files import write_json
from pipeline.training.checkpoint import TrainingState
from pipeline.training.fit import TrainingData

logger = logging.getLogger(__name__)


def write_report(folder: Path, state: TrainingState, data: TrainingData, model: keras.Model) -> None:
    """Write curves.csv with one row per epoch, and train.json with counts and seconds.

    Args:
        folder: receives both files.
        state: the state of the complete training.
        data: what the model was trained on.
        model: the trained model.

    """
    _write_curves(folder / "curves.csv", state.history)
    epochs = len(state.history)
    report = {
        "images": data.epoch_examples if data.synthetic_batches else data.num_images(data.training_rows),
        "held_out_images": data.num_images(data.validation_rows),
        "epochs": epochs,
        "parameters": model.count_params(),
        "seconds": round(state.seconds, 1),
        "images_per_second": round(epochs * data.epoch_examples / state.seconds, 1) if state.seconds else 0.0,
    }
    write_json(folder / "train.json", report)
    logger.info("trained on %(images)d images for %(epochs)d epochs in %(seconds).1f s", report)


def _write_curves(path: Path, history: list[dict[str, Any]]) -> None:
    # Phases may have different metrics: the cells of the others stay empty.
    names = list(dict.fromkeys(["epoch", "phase", "loss", "val_loss", *(name for row in history for name in row)]))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(history)
