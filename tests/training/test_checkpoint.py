import os
from pathlib import Path

import numpy as np

from pipeline.packing.shards import Shards, shard_path, write_shard
from pipeline.training.checkpoint import Checkpoint, TrainingState, fingerprint

STATE = TrainingState(
    phases_done=1,
    epochs_done=3,
    seconds=12.5,
    rows=[{"epoch": 1, "phase": "all", "loss": 0.25}],
    log={"epochs": [1]},
    best={"score": 0.5, "wait": 1, "epoch": 2},
    plateau={"score": 0.5, "wait": 2},
    best_weights=[np.array([[1.5, -2]])],
    variables=[np.array([3], np.uint32), np.zeros((2, 0))],
    optimizer=[np.float32(7)],
)


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new", "0123")
    assert checkpoint.load() == TrainingState()
    checkpoint.save(STATE)
    loaded = checkpoint.load()
    for name in ("phases_done", "epochs_done", "seconds", "rows", "log", "best", "plateau"):
        assert getattr(loaded, name) == getattr(STATE, name)
    for name in ("best_weights", "variables", "optimizer"):
        for was, now in zip(getattr(STATE, name), getattr(loaded, name), strict=True):
            np.testing.assert_array_equal(was, now)
            assert was.dtype == now.dtype


def test_another_training_does_not_see_it_and_clearing_forgets_one(tmp_path: Path) -> None:
    Checkpoint(tmp_path, "0123").save(STATE)
    other = Checkpoint(tmp_path, "4567")
    assert other.load() == TrainingState()
    other.save(STATE)
    other.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["0123.npz"]


def test_of_other_trainings_the_last_three_are_kept(tmp_path: Path) -> None:
    for age, name in enumerate("abcde"):
        Checkpoint(tmp_path, name).save(STATE)
        os.utime(tmp_path / f"{name}.npz", (1000 - age, 1000 - age))
    Checkpoint(tmp_path, "c").clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz", "d.npz"]


def test_what_a_killed_training_left_in_its_scratch_folder_is_gone(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "0123")
    with checkpoint.scratch() as folder:
        (folder / "features").write_text("half")
        left = folder
        with checkpoint.scratch() as again:
            assert list(again.iterdir()) == []
    assert not left.exists()


def test_a_file_that_is_no_state_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "0123.npz").write_bytes(b"half a zip")
    assert Checkpoint(tmp_path, "0123").load() == TrainingState()


def test_the_fingerprint_sees_parameters_files_and_data(tmp_path: Path) -> None:
    code = tmp_path / "model.py"

    def digest(rate: float = 0.1, text: str = "a", ids: tuple[int, ...] = (1, 2), pixel: int = 5, box: int = 7) -> str:
        code.write_text(text)
        folder = tmp_path / f"{ids}{pixel}{box}"
        pixels = np.full((len(ids), 2, 2, 1), pixel, np.uint8)
        write_shard(shard_path(folder / "pack", "train", 0), np.array(ids), {"image": pixels})
        write_shard(shard_path(folder / "targets", "train", 0), np.array(ids), {"box": np.full((len(ids), 4), box)})
        return fingerprint(
            {"rate": rate}, [code], Shards(folder / "pack", "train"), Shards(folder / "targets", "train")
        )

    changes = [digest(rate=0.2), digest(text="b"), digest(ids=(1, 3)), digest(pixel=6), digest(box=8)]
    assert len({digest(), *changes}) == 6
    assert digest() == digest()
