"""Checkpoints: an interrupted training resumes from its last epoch and ends with the same weights.

The file is not an output of the stage, because DVC deletes outputs before a run. Its name is the fingerprint of the
training: if the configuration, the code or the data changes, no checkpoint is found and training starts from scratch.
"""

import contextlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.atomic_files import atomic_write

MAX_OTHER_CHECKPOINTS = 3

ARRAYS = ("model_variables", "optimizer_variables", "best_weights")
"""Fields of `TrainingState` that are lists of arrays."""


@dataclass
class TrainingState:
    """The state of a training between two epochs.

    Attributes:
        completed_phases: phases that are complete.
        completed_epochs: complete epochs of the current phase.
        seconds: how long the training has run, interruptions aside.
        history: one row per epoch, the rows of curves.csv.
        box_log: state of the box logger, None before the first epoch.
        early_stopping: score, wait and epoch of early stopping; empty if the phase has none.
        plateau: score and wait of a plateau schedule; empty if the phase has none.
        best_weights: the weights of the best epoch, if early stopping is used.
        model_variables: values of all variables of the model.
        optimizer_variables: values of the optimizer's variables; empty between two phases.

    """

    completed_phases: int = 0
    completed_epochs: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    box_log: Any = None
    early_stopping: dict[str, float] = field(default_factory=dict)
    plateau: dict[str, float] = field(default_factory=dict)
    best_weights: list[NDArray[Any]] = field(default_factory=list)
    model_variables: list[NDArray[Any]] = field(default_factory=list)
    optimizer_variables: list[NDArray[Any]] = field(default_factory=list)

    def complete_phase(self, model_variables: list[NDArray[Any]]) -> None:
        """Advance to the next phase.

        Args:
            model_variables: values of all variables of the model at the end of the phase.

        """
        self.completed_phases, self.completed_epochs = self.completed_phases + 1, 0
        self.early_stopping, self.plateau, self.best_weights, self.optimizer_variables = {}, {}, [], []
        self.model_variables = model_variables


class Checkpoint:
    """The checkpoint file of one training.

    Args:
        folder: the folder of all checkpoints of a system.
        fingerprint: the training, see fingerprint.py.

    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path = folder / f"{fingerprint}.npz"

    def save(self, state: TrainingState) -> None:
        """Replace the checkpoint atomically."""
        values = {name: value for name, value in vars(state).items() if name not in ARRAYS}
        arrays = {f"{name}/{i}": array for name in ARRAYS for i, array in enumerate(getattr(state, name))}
        with atomic_write(self._path) as partial:
            np.savez(partial, state=np.array(json.dumps(values)), allow_pickle=False, **arrays)

    def load(self) -> TrainingState:
        """The saved state, or the initial state if there is no readable checkpoint."""
        try:
            with np.load(self._path, allow_pickle=False) as file:
                state = TrainingState(**json.loads(str(file["state"])))
                for name in ARRAYS:
                    count = sum(key.startswith(f"{name}/") for key in file.files)
                    setattr(state, name, [file[f"{name}/{i}"] for i in range(count)])
                return state
        except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
            return TrainingState()

    def clear(self) -> None:
        """Delete the checkpoint of a complete training.

        The latest checkpoints of other trainings are kept: their parameters may be restored.
        """
        self._path.unlink(missing_ok=True)
        others = sorted(self._path.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        for path in others[:-MAX_OTHER_CHECKPOINTS]:
            path.unlink()

    @contextlib.contextmanager
    def scratch_folder(self) -> Iterator[Path]:
        """An empty folder beside the checkpoint, deleted afterwards, and before if a killed training left it there."""
        folder = self._path.with_suffix(".scratch")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
