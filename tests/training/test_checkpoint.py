import os
from pathlib import Path

import numpy as np

from pipeline.training.checkpoint import ARRAYS, Checkpoint, TrainingState

STATE = TrainingState(
    completed_phases=1,
    completed_epochs=3,
    seconds=12.5,
    history=[{"epoch": 1, "phase": "all", "loss": 0.25}],
    box_log={"epochs": [1]},
    early_stopping={"score": 0.5, "wait": 1, "epoch": 2},
    plateau={"score": 0.5, "wait": 2},
    best_weights=[np.array([[1.5, -2]])],
    model_variables=[np.array([3], np.uint32), np.zeros((2, 0))],
    optimizer_variables=[np.float32(7)],
)


def test_saved_state_is_loaded(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new", "0123")
    assert checkpoint.load() == TrainingState()
    checkpoint.save(STATE)
    loaded = checkpoint.load()
    for name, value in vars(STATE).items():
        if name not in ARRAYS:
            assert getattr(loaded, name) == value
    for name in ARRAYS:
        for saved, restored in zip(getattr(STATE, name), getattr(loaded, name), strict=True):
            np.testing.assert_array_equal(saved, restored)
            assert saved.dtype == restored.dtype


def test_checkpoints_of_other_trainings_are_neither_loaded_nor_cleared(tmp_path: Path) -> None:
    Checkpoint(tmp_path, "0123").save(STATE)
    other = Checkpoint(tmp_path, "4567")
    assert other.load() == TrainingState()
    other.save(STATE)
    other.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["0123.npz"]


def test_latest_three_checkpoints_of_other_trainings_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate("abcde"):
        Checkpoint(tmp_path, name).save(STATE)
        os.utime(tmp_path / f"{name}.npz", (1000 - age, 1000 - age))
    Checkpoint(tmp_path, "c").clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz", "d.npz"]


def test_scratch_folder_is_emptied_first_and_deleted_afterwards(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "0123")
    with checkpoint.scratch_folder() as folder:
        (folder / "features").write_text("left behind by a killed training")
        with checkpoint.scratch_folder() as again:
            assert list(again.iterdir()) == []
    assert not folder.exists()


def test_corrupt_checkpoint_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "0123.npz").write_bytes(b"half a zip")
    assert Checkpoint(tmp_path, "0123").load() == TrainingState()
