"""What a training leaves for its readers: its curves as CSV, and what it took."""

import csv
import logging
from pathlib import Path
from typing import Any

import keras

from pipeline.core.atomic_files import write_json
from pipeline.training.checkpoint import TrainingState
from pipeline.training.fit import Data

logger = logging.getLogger(__name__)


def write_report(folder: Path, state: TrainingState, data: Data, model: keras.Model) -> None:
    """curves.csv with one row per epoch, and train.json with counts and seconds."""
    _write_curves(folder / "curves.csv", state.rows)
    epochs = len(state.rows)
    report = {
        "images": data.epoch_examples if data.stream else data.count(data.trained),
        "held_out_images": data.count(data.held_out),
        "epochs": epochs,
        "parameters": model.count_params(),
        "seconds": round(state.seconds, 1),
        "images_per_second": round(epochs * data.epoch_examples / state.seconds, 1) if state.seconds else 0.0,
    }
    write_json(folder / "train.json", report)
    logger.info("trained on %(images)d images for %(epochs)d epochs in %(seconds).1f s", report)


def _write_curves(path: Path, rows: list[dict[str, Any]]) -> None:
    """Phases have different metrics: a cell stays empty where its phase has none."""
    names = list(dict.fromkeys(["epoch", "phase", "loss", "val_loss", *(name for row in rows for name in row)]))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
