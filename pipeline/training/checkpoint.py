"""What a stopped training needs to go on from its last epoch as if it had never stopped.

The file lies outside the outputs of the stage, which DVC deletes before a run. Its name holds a digest of
parameters, code and data: after a change of them it is not found, and training starts anew.
"""

import contextlib
import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.atomic_files import atomic_write
from pipeline.packing.shards import Shards, evenly_spaced

SAMPLED_IMAGES = 64
OTHERS_KEPT = 3


@dataclass
class TrainingState:
    """A training between two epochs.

    position: phases that are finished, and epochs of the next one that are.
    rows: what the curves hold so far. log: what the box logger holds.
    best: of early stopping, its score, epochs waited and epoch; best_weights: the weights of that epoch.
    plateau: of a falling learning rate, the best score and epochs waited.
    variables: of the whole model. optimizer: of the running phase, empty between two phases.
    """

    phases_done: int = 0
    epochs_done: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    log: Any = None
    best: dict[str, float] = field(default_factory=dict)
    plateau: dict[str, float] = field(default_factory=dict)
    best_weights: list[NDArray[Any]] = field(default_factory=list)
    variables: list[NDArray[Any]] = field(default_factory=list)
    optimizer: list[NDArray[Any]] = field(default_factory=list)

    def finish_phase(self, variables: list[NDArray[Any]]) -> None:
        """Stand before the next phase, with these variables of the whole model."""
        self.phases_done, self.epochs_done = self.phases_done + 1, 0
        self.best, self.plateau, self.best_weights, self.optimizer = {}, {}, [], []
        self.variables = variables


ARRAYS = ("variables", "optimizer", "best_weights")


class Checkpoint:
    """The file of one training's state."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path = folder / f"{fingerprint}.npz"

    def save(self, state: TrainingState) -> None:
        """Take the place of the former state, whole or not at all."""
        values = {name: value for name, value in vars(state).items() if name not in ARRAYS}
        arrays = {f"{name}/{i}": array for name in ARRAYS for i, array in enumerate(getattr(state, name))}
        with atomic_write(self._path) as partial:
            np.savez(partial, state=np.array(json.dumps(values)), allow_pickle=False, **arrays)

    def load(self) -> TrainingState:
        """The state saved last, or that of a training not yet begun where none is there that can be read."""
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
        """Forget it: the training is finished. Of other trainings the last few are kept, in case they go on."""
        self._path.unlink(missing_ok=True)
        others = sorted(self._path.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        for path in others[:-OTHERS_KEPT]:
            path.unlink()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder beside the state, gone afterwards; what a killed training left there goes first."""
        folder = self._path.with_suffix(".scratch")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def fingerprint(values: Mapping[str, Any], files: Iterable[Path], images: Shards, targets: Shards) -> str:
    """A digest of parameters, of the bytes of files, of every target, and of at most SAMPLED_IMAGES images.

    Of the images all ids count; reading all pixels of a large dataset would cost minutes.
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    for path in files:
        digest.update(path.read_bytes())
    for shards, most in ((images, SAMPLED_IMAGES), (targets, len(targets))):
        digest.update(shards.image_ids.tobytes())
        rows = evenly_spaced(np.arange(len(shards)), most)
        for name in shards.names:
            digest.update(shards.take(name, rows).tobytes())
    return digest.hexdigest()[:16]
