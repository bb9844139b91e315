"""What a stopped training needs to go on from its last epoch as if it had never stopped.

The file lies outside the outputs of the stage, which DVC deletes before a run. Its name holds a digest of everything
that the training depends on: after a change of data, parameters or code it is not found, and training starts anew.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.storage.files import whole_file
from pipeline.storage.shards import Shards

SAMPLED_IMAGES = 64


@dataclass
class State:
    """A training between two epochs.

    position: phases that are finished, and epochs of the next one that are.
    rows: what the curves hold so far. log: what the box logger holds.
    best: of early stopping, its score, epochs waited and epoch; best_weights: the weights of that epoch.
    variables: of the whole model. optimizer: of the running phase, empty between two phases.
    """

    phases_done: int = 0
    epochs_done: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    log: Any = None
    best: dict[str, float] = field(default_factory=dict)
    best_weights: list[NDArray[Any]] = field(default_factory=list)
    variables: list[NDArray[Any]] = field(default_factory=list)
    optimizer: list[NDArray[Any]] = field(default_factory=list)

    def finish_phase(self, variables: list[NDArray[Any]]) -> None:
        """Stand before the next phase, with these variables of the whole model."""
        self.phases_done, self.epochs_done = self.phases_done + 1, 0
        self.best, self.best_weights, self.optimizer = {}, [], []
        self.variables = variables


ARRAYS = ("variables", "optimizer", "best_weights")


class Checkpoint:
    """The file of one training's state."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path = folder / f"{fingerprint}.npz"

    def save(self, state: State) -> None:
        """Take the place of the former state, whole or not at all."""
        values = {name: value for name, value in vars(state).items() if name not in ARRAYS}
        arrays = {f"{name}/{i}": array for name in ARRAYS for i, array in enumerate(getattr(state, name))}
        with whole_file(self._path) as partial:
            np.savez(partial, state=np.array(json.dumps(values)), allow_pickle=False, **arrays)

    def load(self) -> State:
        """The state saved last, or that of a training not yet begun where none is there that can be read."""
        try:
            with np.load(self._path, allow_pickle=False) as file:
                state = State(**json.loads(str(file["state"])))
                for name in ARRAYS:
                    count = sum(key.startswith(f"{name}/") for key in file.files)
                    setattr(state, name, [file[f"{name}/{i}"] for i in range(count)])
                return state
        except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile):
            return State()

    def clear(self) -> None:
        """Forget it, and those of former fingerprints: the training is finished."""
        for path in self._path.parent.glob("*.npz"):
            path.unlink()


def fingerprint(values: Mapping[str, Any], files: Iterable[Path], shards: Sequence[Shards]) -> str:
    """A digest of parameters, of the bytes of files, and of the data in memory-mapped shards.

    Of each column every id and at most SAMPLED_IMAGES rows are read, so that a large dataset costs no minutes.
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    for path in files:
        digest.update(path.read_bytes())
    for part in shards:
        digest.update(part.image_ids.tobytes())
        rows = np.linspace(0, len(part) - 1, min(len(part), SAMPLED_IMAGES)).astype(np.int64)
        for name in part.names:
            digest.update(part.take(name, rows).tobytes())
    return digest.hexdigest()[:16]
