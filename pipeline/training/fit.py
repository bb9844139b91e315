"""The training loop: fits the phases of a system one after the other, resuming from a checkpoint."""

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from pipeline.systems.common.interfaces import BatchGenerator, TrainingPhase
from pipeline.systems.common.target_annotations import read_annotations
from pipeline.training.augmentation import Augmentation
from pipeline.training.box_logger import BoxLogger
from pipeline.training.callbacks import (
    CheckpointCallback,
    EarlyStopping,
    HistoryRecorder,
    ReduceOnPlateau,
    assign_variables,
    read_variables,
)
from pipeline.training.checkpoint import Checkpoint, TrainingState
from pipeline.training.config import PlateauConfig, TrainConfig
from pipeline.training.data_loader import (
    Batch,
    BatchLoader,
    EpochBatches,
    EpochSetter,
    ShardLoader,
    SyntheticLoader,
    validation_split,
)
from pipeline.training.feature_cache import cache_features, split_at
from pipeline.training.optimizer import build_optimizer

logger = logging.getLogger(__name__)

LOADER_THREADS = 2


def configure_keras(config: TrainConfig, seed: int) -> None:
    """Set precision, seeds and determinism. Call this before a model is built.

    Without the option `xla`, sums are computed in the same order in every run, also on a GPU. JAX compiles every step
    with XLA in any case; there the option allows operations on a GPU whose order of summation varies.

    Args:
        config: the `train` section of the system.
        seed: seeds Python, NumPy and the backend.

    """
    keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(seed)
    if config.xla:
        return
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif keras.config.backend() == "jax":
        # JAX reads the variable when it first uses a device, which building a model does.
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true"


@dataclass(frozen=True)
class TrainingData:
    """Packed images and their targets, split into training and validation examples.

    Attributes:
        images: the packed images.
        targets: the training targets; several examples may share an image.
        training_rows: rows of `targets` to train on, int64 [N].
        validation_rows: rows of `targets` that are held out, int64 [M].
        synthetic_batches: generates the training images; packed images are then used for validation only.
        augmentation: changes training images in every epoch; validation images stay as they are.
        seed: of the order of the examples, and of everything drawn at random.

    """

    images: Shards
    targets: Shards
    training_rows: NDArray[np.int64]
    validation_rows: NDArray[np.int64]
    synthetic_batches: BatchGenerator | None
    augmentation: Augmentation | None
    seed: int

    @classmethod
    def split(
        cls,
        images: Shards,
        targets: Shards,
        config: TrainConfig,
        seed: int,
        synthetic_batches: BatchGenerator | None = None,
        augmentation: Augmentation | None = None,
    ) -> "TrainingData":
        """Hold out `validation_batches` x `batch_size` images with all their examples.

        Args:
            images: the packed images.
            targets: the training targets.
            config: the `train` section of the system.
            seed: seed of the split and of the training.
            synthetic_batches: generates the training images, if the system draws new ones in every step.
            augmentation: changes training images in every epoch; None leaves them as they are.

        Raises:
            BoxlineError: if no image is left to train on, or if synthetic images would be augmented.

        """
        if synthetic_batches is not None and augmentation is not None:
            raise BoxlineError(
                "train.augment in params.yaml changes packed images, but this system generates new images in every "
                "step. Set train.augment to null, or train on packed images."
            )
        image_ids = np.unique(targets.image_ids)
        num_held_out = config.validation_batches * config.batch_size
        if num_held_out >= len(image_ids):
            raise BoxlineError(
                f"{len(image_ids)} images have training targets, and {config.validation_batches} batches of "
                f"{config.batch_size} are held out, so no image is left to train on. "
                "Lower train.validation_batches in params.yaml."
            )
        held_out_ids = image_ids[validation_split(len(image_ids), num_held_out, seed)]
        is_held_out = np.isin(targets.image_ids, held_out_ids)
        return cls(
            images,
            targets,
            np.flatnonzero(~is_held_out),
            np.flatnonzero(is_held_out),
            synthetic_batches,
            augmentation,
            seed,
        )

    def example_images(self, count: int) -> tuple[NDArray[np.uint8], list[LabeledBoxes]]:
        """Evenly spaced images with their objects: held-out images if there are any, else training images.

        Args:
            count: the number of images, at most.

        Returns:
            The images, uint8 [N, size, size, channels], and the objects of each, without crowd regions.

        """
        candidates = self.validation_rows if len(self.validation_rows) else self.training_rows
        image_ids = evenly_spaced(np.unique(self.targets.image_ids[candidates]), count)
        ground_truth = []
        for image_id in image_ids:
            examples = read_annotations(self.targets, np.flatnonzero(self.targets.image_ids == image_id))
            objects = [example.objects for example in examples]
            boxes_rel_xywh = np.concatenate([boxes.boxes_rel_xywh for boxes in objects])
            ground_truth.append(LabeledBoxes(boxes_rel_xywh, np.concatenate([boxes.labels for boxes in objects])))
        return self.images.take("image", self.images.rows_of(image_ids)), ground_truth

    @property
    def epoch_examples(self) -> int:
        """Examples per epoch. With synthetic images, as many as there are packed ones."""
        return len(self.targets) if self.synthetic_batches is not None else len(self.training_rows)

    def num_images(self, rows: NDArray[np.int64]) -> int:
        """The number of distinct images behind those rows of `targets`."""
        return len(np.unique(self.targets.image_ids[rows]))


def fit(
    model: keras.Model,
    phase_model: Callable[[str], TrainingPhase],
    data: TrainingData,
    config: TrainConfig,
    checkpoint: Checkpoint,
    state: TrainingState,
    box_logger: BoxLogger,
) -> None:
    """Train `model` in place, phase by phase.

    Args:
        model: the whole model.
        phase_model: prepares the model for the phase of that name.
        data: training and validation data.
        config: the `train` section of the system.
        checkpoint: `state` is saved there after every epoch.
        state: where to resume from; updated after every epoch.
        box_logger: logs predictions after every epoch.

    Raises:
        BoxlineError: if a loss or a metric is not finite.

    """
    if state.history:
        assign_variables(model.variables, state.model_variables)
        box_logger.restore(state.box_log)
        logger.info("resuming the interrupted training after epoch %d", len(state.history))
    started = time.perf_counter() - state.seconds
    for name, phase_config in list(config.phases.items())[state.completed_phases :]:
        phase, box_logger.phase = phase_model(name), name
        with checkpoint.scratch_folder() as scratch, ThreadPoolExecutor(LOADER_THREADS) as threads:
            fitted, loader, held_out = _fitted_model_and_data(phase, data, config.batch_size, scratch)
            training = EpochBatches(loader, threads)
            validation = EpochBatches(held_out, threads) if held_out else None
            optimizer = build_optimizer(phase_config, len(training))
            # JAX is made for compiled steps: without, it runs operation by operation.
            jit_compile = config.xla or keras.config.backend() == "jax"
            fitted.compile(optimizer, jit_compile=jit_compile, **phase.compile_arguments)
            fitted.optimizer.build(fitted.trainable_variables)  # wraps Adam under mixed_float16
            if keras.config.backend() == "tensorflow":
                _create_variables_of_losses_and_metrics(fitted, loader.load(0, 0))
            if state.optimizer_variables:
                assign_variables(fitted.optimizer.variables, state.optimizer_variables)
            patience, schedule = phase_config.patience, phase_config.schedule
            stopping = EarlyStopping(patience, state) if patience is not None else None
            plateau = ReduceOnPlateau(schedule, state) if isinstance(schedule, PlateauConfig) else None
            stateful_callbacks = [callback for callback in (stopping, plateau) if callback]
            callbacks = [
                EpochSetter(training, len(state.history) - state.completed_epochs),
                keras.callbacks.TerminateOnNaN(),
                TqdmCallback(desc=name, initial=state.completed_epochs, verbose=0, disable=None, leave=False),
                HistoryRecorder(state.history, name),
                *stateful_callbacks,
                box_logger,
                CheckpointCallback(checkpoint, state, model, stateful_callbacks, box_logger.state, started),
            ]
            if not (stopping and stopping.is_over(state)):
                try:
                    fitted.fit(
                        training.for_keras(),
                        validation_data=validation.for_keras() if validation else None,
                        initial_epoch=state.completed_epochs,
                        epochs=phase_config.epochs,
                        shuffle=False,  # the data loader shuffles; Keras would shuffle the batches again
                        verbose=0,
                        callbacks=callbacks,
                    )
                except Exception:  # each backend has its own error for a failed data loader
                    loader_error = training.error or (validation and validation.error)
                    if loader_error:
                        # TensorFlow raises its own error, with the text of the loader's traceback as message.
                        raise loader_error from None
                    raise
                _require_finite(state.history)
            elif state.best_weights:
                fitted.set_weights(state.best_weights)
        state.complete_phase(read_variables(model.variables))
        state.seconds = time.perf_counter() - started
        checkpoint.save(state)


def _fitted_model_and_data(
    phase: TrainingPhase, data: TrainingData, batch_size: int, scratch: Path
) -> tuple[keras.Model, BatchLoader, BatchLoader | None]:
    """The model to fit, and the loaders of its training data and of its validation data.

    If the first layers are frozen and every image is seen unchanged in every epoch, the model is only the part behind
    them, and the images are their cached features.
    """
    model, images, targets = phase.model, data.images, data.targets
    if phase.frozen_until is not None and data.synthetic_batches is None and data.augmentation is None:
        frozen, model = split_at(phase.model, phase.frozen_until)
        images = cache_features(frozen, images, np.unique(targets.image_ids), scratch)
    names = phase.target_names or model.output_names
    validation = None
    if len(data.validation_rows):
        validation = ShardLoader(images, targets, batch_size, names, data.validation_rows)
    if data.synthetic_batches is not None:
        steps = data.epoch_examples // batch_size
        return model, SyntheticLoader(data.synthetic_batches, batch_size, steps, data.seed), validation
    training = ShardLoader(images, targets, batch_size, names, data.training_rows, data.seed, data.augmentation)
    return model, training, validation


def _create_variables_of_losses_and_metrics(model: keras.Model, batch: Batch) -> None:
    """Create what Keras would create in the first step.

    TensorFlow traces a step that creates variables a second time. Tracing is most of the CPU time of a small training.
    """
    inputs, targets = batch
    predictions = model(inputs)
    model.compute_loss(inputs, targets, predictions, sample_weight=None)  # RetinaNet of KerasHub has no default
    model.compute_metrics(inputs, targets, predictions, sample_weight=None)
    model.reset_metrics()


def _require_finite(history: list[dict[str, Any]]) -> None:
    for row in history:
        for name, value in row.items():
            if isinstance(value, float) and not np.isfinite(value):
                raise BoxlineError(
                    f"{name} became {value} in epoch {row['epoch']}, phase {row['phase']}. "
                    f"Lower train.phases.{row['phase']}.learning_rate in params.yaml."
                )
