"""One training run: compile, fit, report."""

import logging
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm.keras import TqdmCallback

from pipeline.errors import BoxlineError
from pipeline.storage.files import whole_file
from pipeline.storage.shards import Shards
from pipeline.training.batches import Batches, EpochOrder, hold_out
from pipeline.training.params import Train

logger = logging.getLogger(__name__)


def make_deterministic(seed: int) -> None:
    """Seed every generator; with the TensorFlow backend, also ask for the same order of sums in every run."""
    keras.utils.set_random_seed(seed)
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def fit(
    model: keras.Model,
    compile_arguments: dict[str, Any],
    images: Shards,
    targets: Shards,
    train: Train,
    seed: int,
    curves: Path,
) -> dict[str, float]:
    """Train `model` in place, write one CSV row per epoch to `curves`, and return what the run took.

    Raises BoxlineError where nothing is left to train on or the loss stops being a number.
    """
    num_held_out = train.validation_batches * train.batch_size
    if num_held_out >= len(targets):
        raise BoxlineError(
            f"{len(targets)} images suit training and {train.validation_batches} batches of {train.batch_size} are "
            "held out, so none is left to train on. Lower train.validation_batches in params.yaml."
        )
    trained, held_out = hold_out(len(targets), num_held_out, seed)
    training = Batches(images, targets, train.batch_size, trained, seed)
    validation = Batches(images, targets, train.batch_size, held_out) if num_held_out else None
    model.compile(keras.optimizers.Adam(train.learning_rate), **compile_arguments)
    started = time.perf_counter()
    with whole_file(curves) as partial:
        history = model.fit(
            training,
            validation_data=validation,
            epochs=train.epochs,
            shuffle=False,  # Batches shuffles; Keras would shuffle the order of its batches once more
            verbose=0,
            callbacks=[EpochOrder(training), *_callbacks(train, partial, validating=validation is not None)],
        ).history
        _require_finite(history)
    seconds = time.perf_counter() - started
    losses = history["loss"]
    epochs = len(losses)
    logger.info("trained on %d images for %d epochs in %.1f s, loss %.4f", len(trained), epochs, seconds, losses[-1])
    return {
        "images": len(trained),
        "held_out_images": num_held_out,
        "epochs": epochs,
        "parameters": model.count_params(),
        "seconds": round(seconds, 1),
        "images_per_second": round(epochs * len(trained) / seconds, 1),
    }


def _callbacks(train: Train, curves: Path, *, validating: bool) -> list[keras.callbacks.Callback]:
    callbacks = [
        keras.callbacks.CSVLogger(str(curves)),
        keras.callbacks.TerminateOnNaN(),
        TqdmCallback(verbose=0, disable=None, leave=False),
    ]
    if validating and train.patience is not None:
        callbacks.append(keras.callbacks.EarlyStopping(patience=train.patience, restore_best_weights=True))
    return callbacks


def _require_finite(history: dict[str, list[float]]) -> None:
    for name, values in history.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise BoxlineError(
                f"{name} became {values[bad[0]]} in epoch {bad[0] + 1}. Lower train.learning_rate in params.yaml."
            )
