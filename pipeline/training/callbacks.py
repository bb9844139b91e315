"""What happens between the epochs of a phase: records, patience that survives a restart, saved state."""

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
    """Adds one row per epoch to `rows`: number of the epoch over all phases, phase, losses and metrics as floats, and
    the learning rate of the epoch's first step, which later callbacks see as well.
    """

    def __init__(self, rows: list[dict[str, Any]], phase: str) -> None:
        super().__init__()
        self._rows, self._phase = rows, phase

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """At its end the optimizer only knows the next step's."""
        self._learning_rate = float(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras's numbers may be arrays of the backend; a row holds floats."""
        logs = {} if logs is None else logs
        logs["learning_rate"] = self._learning_rate
        values = {name: float(value) for name, value in logs.items()}
        self._rows.append({"epoch": len(self._rows) + 1, "phase": self._phase, **values})
        if not all(np.isfinite(value) for value in values.values()):
            self.model.stop_training = True  # Keras's TerminateOnNaN sees the training loss alone


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's, on the validation loss, with a memory that can be saved and given back."""

    def __init__(self, patience: int, state: TrainingState) -> None:
        super().__init__(patience=patience, restore_best_weights=True)
        self._resumed = (dict(state.best), state.best_weights)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keras forgets here; take back what was known."""
        super().on_train_begin(logs)
        best, weights = self._resumed
        if best:
            self.best, self.wait, self.best_epoch = best["score"], int(best["wait"]), int(best["epoch"])
            self.best_weights = weights

    def is_over(self, state: TrainingState) -> bool:
        """Whether that state was saved when patience had just run out."""
        return bool(state.best) and state.best["wait"] >= self.patience

    def save_state(self, state: TrainingState) -> None:
        """Write the memory into `state`."""
        if self.best is not None:
            state.best = {"score": float(self.best), "wait": self.wait, "epoch": self.best_epoch}
            state.best_weights = self.best_weights


class ReduceOnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras's, on the validation loss, with a memory that can be saved and given back. Any smaller loss is better."""

    def __init__(self, plateau: PlateauConfig, state: TrainingState) -> None:
        super().__init__(factor=plateau.factor, patience=plateau.patience, min_delta=0.0)
        self._resumed = dict(state.plateau)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keras forgets here; take back what was known. The learning rate is one of the optimizer's variables."""
        super().on_train_begin(logs)
        if self._resumed:
            self.best, self.wait = self._resumed["score"], int(self._resumed["wait"])

    def save_state(self, state: TrainingState) -> None:
        """Write the memory into `state`."""
        if self.best is not None:
            state.plateau = {"score": float(self.best), "wait": self.wait}


class CheckpointCallback(keras.callbacks.Callback):
    """Saves the state after every epoch whose numbers are finite, then logs them. Has to come last."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        state: TrainingState,
        whole: keras.Model,
        stateful_callbacks: Sequence[EarlyStopping | ReduceOnPlateau],
        log_state: Callable[[], Any],
        started: float,
    ) -> None:
        super().__init__()
        self._checkpoint, self._state, self._whole = checkpoint, state, whole
        self._watching, self._log_state, self._started = stateful_callbacks, log_state, started

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """An epoch with numbers that are not finite is not worth going on from."""
        if not all(np.isfinite(float(value)) for value in (logs or {}).values()):
            return
        state = self._state
        state.epochs_done = epoch + 1
        state.seconds = time.perf_counter() - self._started
        state.log = self._log_state()
        for callback in self._watching:
            callback.save_state(state)
        state.variables = values_of(self._whole.variables)
        state.optimizer = values_of(self.model.optimizer.variables)
        self._checkpoint.save(state)
        progress.write_progress(f"{state.rows[-1]['phase']} (epochs)", epoch + 1, self.params["epochs"])
        if not sys.stderr.isatty():  # on a terminal the bar tells the numbers
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in state.rows[-1].items() if name not in ROW_KEYS)
            logger.info("%s: epoch %d of %d: %s", state.rows[-1]["phase"], epoch + 1, self.params["epochs"], numbers)


def values_of(variables: list[Any]) -> list[Any]:
    """Keras variables as arrays. bfloat16, which NumPy cannot store, as float32."""
    arrays = (np.asarray(keras.ops.convert_to_numpy(variable)) for variable in variables)
    return [array.astype(np.float32) if array.dtype.kind == "V" else array for array in arrays]


def assign(variables: list[Any], values: list[Any]) -> None:
    """Give Keras variables the values that `values_of` took."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
