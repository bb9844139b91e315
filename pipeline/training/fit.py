"""A training: its phases one after the other, from where it was stopped if it was."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm.keras import TqdmCallback

from pipeline.core.errors import BoxlineError
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.packing.shards import Shards, evenly_spaced
from pipeline.systems.interfaces import BatchGenerator, Codec, Part
from pipeline.systems.labels import Labels
from pipeline.systems.target_annotations import read_targets
from pipeline.training.augmentation import Augmentation
from pipeline.training.bbox_logger import BBoxLogger
from pipeline.training.callbacks import (
    CheckpointCallback,
    EarlyStopping,
    HistoryRecorder,
    ReduceOnPlateau,
    assign,
    values_of,
)
from pipeline.training.checkpoint import Checkpoint, TrainingState
from pipeline.training.config import PlateauConfig, TrainConfig
from pipeline.training.data_loader import EpochSeed, ShardLoader, SyntheticLoader, validation_split
from pipeline.training.feature_cache import cache_features, split_at
from pipeline.training.optimizer import adam

logger = logging.getLogger(__name__)


def prepare(train: TrainConfig, seed: int) -> None:
    """Set precision and seed before anything is built.

    With the TensorFlow backend, also ask for the same order of sums in every run; XLA has no such mode.
    """
    keras.config.set_dtype_policy(train.precision)
    keras.utils.set_random_seed(seed)
    if keras.config.backend() == "tensorflow" and not train.xla:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


@dataclass(frozen=True)
class Data:
    """What a training learns from: packed images and their targets, rows held out, and a stream of new images.

    With `stream`, training images come from it and only the held-out ones are packed. With `augmentation`, training
    images change from epoch to epoch, and those held out stay as they are.
    """

    images: Shards
    targets: Shards
    trained: NDArray[np.int64]
    held_out: NDArray[np.int64]
    stream: BatchGenerator | None
    augmentation: Augmentation | None
    seed: int

    @classmethod
    def of(
        cls,
        images: Shards,
        targets: Shards,
        train: TrainConfig,
        seed: int,
        stream: BatchGenerator | None = None,
        augmentation: Augmentation | None = None,
    ) -> "Data":
        """Hold out whole images. Raises BoxlineError where nothing is left to train on, or a stream is to change."""
        if stream is not None and augmentation is not None:
            raise BoxlineError(
                "train.augment in params.yaml changes packed images, and this system draws new ones for every step. "
                "Set train.augment to null, or let the system train on packed images."
            )
        image_ids = np.unique(targets.image_ids)
        num_held_out = train.validation_batches * train.batch_size
        if num_held_out >= len(image_ids):
            raise BoxlineError(
                f"{len(image_ids)} images suit training and {train.validation_batches} batches of {train.batch_size} "
                "are held out, so none is left to train on. Lower train.validation_batches in params.yaml."
            )
        held_out = np.isin(targets.image_ids, image_ids[validation_split(len(image_ids), num_held_out, seed)])
        return cls(images, targets, np.flatnonzero(~held_out), np.flatnonzero(held_out), stream, augmentation, seed)

    def shown(self, count: int, codec: Codec, labels: Labels) -> tuple[NDArray[np.uint8], list[LabeledBoxes]]:
        """Held-out images, or training images where none are held out, spread, with the boxes of their targets."""
        candidates = np.unique(self.targets.image_ids[self.held_out if len(self.held_out) else self.trained])
        image_ids = evenly_spaced(candidates, count)
        truth = []
        for image_id in image_ids:
            rows = np.flatnonzero(self.targets.image_ids == image_id)
            encoded = read_targets(self.targets, rows)
            decoded = labels.known(codec.decode(codec.as_outputs(encoded, len(labels.names))))
            truth.append(LabeledBoxes(decoded.boxes_rel_xywh, decoded.labels))
        return self.images.take("image", self.images.rows_of(image_ids)), truth

    @property
    def epoch_examples(self) -> int:
        """Examples of one epoch: those trained on, or as many new images as the packed ones are."""
        return len(self.targets) if self.stream is not None else len(self.trained)

    def count(self, rows: NDArray[np.int64]) -> int:
        """Images that these rows are examples of."""
        return len(np.unique(self.targets.image_ids[rows]))


def fit(
    whole: keras.Model,
    part: Callable[[str], Part],
    data: Data,
    train: TrainConfig,
    checkpoint: Checkpoint,
    state: TrainingState,
    log: BBoxLogger,
) -> None:
    """Train `whole` in place, phase by phase, from `state` on, which is kept up to date and saved after every epoch.

    Raises BoxlineError where a loss or a metric stops being a finite number.
    """
    if state.rows:
        assign(whole.variables, state.variables)
        log.restore(state.log)
        logger.info("going on after epoch %d, where this training was stopped", len(state.rows))
    started = time.perf_counter() - state.seconds
    for name, phase in list(train.phases.items())[state.phases_done :]:
        fitted, log.phase = part(name), name
        with checkpoint.scratch() as scratch:
            model, training, validation = _inputs(fitted, data, train.batch_size, scratch)
            model.compile(adam(phase, len(training)), jit_compile=train.xla, **fitted.compile_arguments)
            if state.optimizer:
                model.optimizer.build(model.trainable_variables)  # wraps Adam under mixed_float16
                assign(model.optimizer.variables, state.optimizer)
            stopping = EarlyStopping(phase.patience, state) if phase.patience is not None else None
            plateau = ReduceOnPlateau(phase.schedule, state) if isinstance(phase.schedule, PlateauConfig) else None
            stateful_callbacks = [callback for callback in (stopping, plateau) if callback]
            callbacks = [
                EpochSeed(training, len(state.rows) - state.epochs_done),
                keras.callbacks.TerminateOnNaN(),
                TqdmCallback(desc=name, initial=state.epochs_done, verbose=0, disable=None, leave=False),
                HistoryRecorder(state.rows, name),
                *stateful_callbacks,
                log,
                CheckpointCallback(checkpoint, state, whole, stateful_callbacks, log.state, started),
            ]
            if not (stopping and stopping.is_over(state)):
                model.fit(
                    training,
                    validation_data=validation,
                    initial_epoch=state.epochs_done,
                    epochs=phase.epochs,
                    shuffle=False,  # the batches shuffle; Keras would shuffle their order once more
                    verbose=0,
                    callbacks=callbacks,
                )
                _require_finite(state.rows)
            elif state.best_weights:
                model.set_weights(state.best_weights)
        state.finish_phase(values_of(whole.variables))
        state.seconds = time.perf_counter() - started
        checkpoint.save(state)


def _inputs(
    part: Part, data: Data, batch_size: int, scratch: Path
) -> tuple[keras.Model, ShardLoader | SyntheticLoader, ShardLoader | None]:
    """What is fitted, on what, and what it is validated on."""
    model, images = part.model, data.images
    if part.cut is not None and data.stream is None and data.augmentation is None:
        frozen, model = split_at(part.model, part.cut)
        images = cache_features(frozen, images, np.unique(data.targets.image_ids), scratch)
    names = part.targets or model.output_names
    validation = ShardLoader(images, data.targets, batch_size, names, data.held_out) if len(data.held_out) else None
    if data.stream is not None:
        return model, SyntheticLoader(data.stream, batch_size, data.epoch_examples // batch_size, data.seed), validation
    training = ShardLoader(images, data.targets, batch_size, names, data.trained, data.seed, data.augmentation)
    return model, training, validation


def _require_finite(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float) and not np.isfinite(value):
                raise BoxlineError(
                    f"{name} became {value} in epoch {row['epoch']}, phase {row['phase']}. "
                    f"Lower train.phases.{row['phase']}.learning_rate in params.yaml."
                )
