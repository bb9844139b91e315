"""Keras callbacks of a phase: history, early stopping and plateaus that survive a restart, and checkpoints."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from pipeline.core import progress
from pipeline.training.checkpoint import Checkpoint, TrainingState
from pipeline.training.config import PlateauConfig

logger = logging.getLogger(__name__)

ROW_KEYS = ("epoch", "phase")


class HistoryRecorder(keras.callbacks.Callback):
    """Appends one row per epoch: epoch number over all phases, phase, losses and metrics, and the learning rate.

    The learning rate is that of the epoch's first step. Later callbacks find it in `logs` as well.

    Args:
        history: receives the rows.
        phase: name of the phase.

    """

    def __init__(self, history: list[dict[str, Any]], phase: str) -> None:
        super().__init__()
        self._history, self._phase = history, phase

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Read the learning rate: at the end of the epoch the optimizer has that of the next step."""
        self._learning_rate = float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Append the row, as floats: Keras's values may be tensors. Stop if a value is not finite."""
        logs = {} if logs is None else logs
        logs["learning_rate"] = self._learning_rate
        values = {name: float(value) for name, value in logs.items()}
        self._history.append({"epoch": len(self._history) + 1, "phase": self._phase, **values})
        if not all(np.isfinite(value) for value in values.values()):
            self.model.stop_training = True  # Keras's TerminateOnNaN checks the training loss only


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's early stopping on the validation loss, with a state that can be saved and restored.

    Args:
        patience: epochs without a smaller validation loss after which training stops.
        state: the state to resume from.

    """

    def __init__(self, patience: int, state: TrainingState) -> None:
        super().__init__(patience=patience, restore_best_weights=True)
        self._resumed = (dict(state.early_stopping), state.best_weights)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the state, which Keras resets here."""
        super().on_train_begin(logs)
        best, weights = self._resumed
        if best:
            self.best, self.wait, self.best_epoch = best["score"], int(best["wait"]), int(best["epoch"])
            self.best_weights = weights

    def is_over(self, state: TrainingState) -> bool:
        """Whether `state` was saved after the last epoch that patience allows."""
        return bool(state.early_stopping) and state.early_stopping["wait"] >= self.patience

    def save_state(self, state: TrainingState) -> None:
        """Write best score, wait, epoch and weights into `state`."""
        if self.best is not None:
            state.early_stopping = {"score": float(self.best), "wait": self.wait, "epoch": self.best_epoch}
            state.best_weights = self.best_weights


class ReduceOnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras's plateau schedule on the validation loss, with a state that can be saved and restored.

    Any smaller loss is an improvement, however small.

    Args:
        plateau: patience and factor.
        state: the state to resume from.

    """

    def __init__(self, plateau: PlateauConfig, state: TrainingState) -> None:
        super().__init__(factor=plateau.factor, patience=plateau.patience, min_delta=0.0)
        self._resumed = dict(state.plateau)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the state, which Keras resets here. The learning rate itself is a variable of the optimizer."""
        super().on_train_begin(logs)
        if self._resumed:
            self.best, self.wait = self._resumed["score"], int(self._resumed["wait"])

    def save_state(self, state: TrainingState) -> None:
        """Write best score and wait into `state`."""
        if self.best is not None:
            state.plateau = {"score": float(self.best), "wait": self.wait}


class CheckpointCallback(keras.callbacks.Callback):
    """Saves the state after every epoch with finite losses and metrics, and logs them. Must be the last callback.

    Args:
        checkpoint: where the state is saved.
        state: updated after every epoch.
        model: the whole model; the fitted one may be a part of it.
        stateful_callbacks: the callbacks whose state is saved.
        box_log_state: returns the state of the box logger.
        started: `time.perf_counter()` at the start of the training, less the seconds before an interruption.

    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        state: TrainingState,
        model: keras.Model,
        stateful_callbacks: Sequence[EarlyStopping | ReduceOnPlateau],
        box_log_state: Callable[[], Any],
        started: float,
    ) -> None:
        super().__init__()
        self._checkpoint, self._state, self._whole_model = checkpoint, state, model
        self._stateful_callbacks, self._box_log_state, self._started = stateful_callbacks, box_log_state, started

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save and log, unless a value is not finite: resuming from such an epoch is useless."""
        if not all(np.isfinite(float(value)) for value in (logs or {}).values()):
            return
        state = self._state
        state.completed_epochs = epoch + 1
        state.seconds = time.perf_counter() - self._started
        state.box_log = self._box_log_state()
        for callback in self._stateful_callbacks:
            callback.save_state(state)
        state.model_variables = read_variables(self._whole_model.variables)
        state.optimizer_variables = read_variables(self.model.optimizer.variables)
        self._checkpoint.save(state)
        row = state.history[-1]
        progress.write_progress(f"{row['phase']} (epochs)", epoch + 1, self.params["epochs"])
        if not sys.stderr.isatty():  # a terminal has a progress bar with the same numbers
            values = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in ROW_KEYS)
            logger.info("%s: epoch %d of %d: %s", row["phase"], epoch + 1, self.params["epochs"], values)


def read_variables(variables: list[Any]) -> list[Any]:
    """Keras variables as arrays. NumPy cannot store bfloat16, so such values become float32."""
    arrays = (np.asarray(keras.ops.convert_to_numpy(variable)) for variable in variables)
    return [array.astype(np.float32) if array.dtype.kind == "V" else array for array in arrays]


def assign_variables(variables: list[Any], values: list[Any]) -> None:
    """Assign arrays from `read_variables` to Keras variables."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
