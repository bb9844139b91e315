"""Offline runs of Weights & Biases, read back from the files that wandb itself writes."""

import builtins
import json
import os
import struct
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import BoxlineError
from pipeline.training.wandb_run import REQUIREMENT, wandb_run
from tests.training.test_box_logger import MODEL_INPUTS, FakeModel, make_logger

KEY = "0123456789abcdef" * 2 + "01234567"
SECRET = "a-secret-of-another-program"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home without an account, isolated from the machine's own wandb settings."""
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "NETRC"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in (
        "WANDB_API_KEY",
        "WANDB_DIR",
        "WANDB_RUN_ID",
        "WANDB_PROJECT",
        "WANDB_SILENT",
        "WANDB_ERROR_REPORTING",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    wandb.teardown()


def test_no_run_without_a_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_wandb(monkeypatch)
    for mode in (None, "disabled"):
        monkeypatch.delenv("WANDB_MODE", raising=False)
        if mode is not None:
            monkeypatch.setenv("WANDB_MODE", mode)
        with wandb_run(tmp_path / "runs", "digits", {}) as run:
            assert run is None
    assert list(tmp_path.iterdir()) == []


def test_unknown_mode_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(BoxlineError) as raised, wandb_run(tmp_path, "digits", {}):
        pass
    assert str(raised.value) == ("WANDB_MODE: received 'onlin', expected online, offline or disabled (the default).")


def test_missing_wandb_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_wandb(monkeypatch)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    with pytest.raises(BoxlineError) as raised, wandb_run(tmp_path, "digits", {}):
        pass
    assert str(raised.value) == (
        "WANDB_MODE is offline, but wandb is not installed. "
        f"Install it with `{sys.executable} -m pip install 'wandb>=0.31,<0.32'`, or unset WANDB_MODE."
    )


def test_requirement_equals_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["wandb"] == [REQUIREMENT]


@pytest.mark.slow
def test_online_mode_without_account_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(BoxlineError) as raised, wandb_run(home / "runs", "digits", {}):
        pass
    assert str(raised.value) == (
        "WANDB_MODE is online, but Weights & Biases did not start "
        "(No API key configured. Use `wandb login` to log in.). Run `wandb login`, set WANDB_MODE=offline, or unset it."
    )


@pytest.mark.slow
def test_offline_run_holds_the_boxes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("ANOTHER_PROGRAMS_TOKEN", SECRET)
    monkeypatch.setenv("DVC_EXP_NAME", "faster-head")
    parameters = {"seed": 7, "train": {"phases": {"head": {"epochs": 2}}, "augment": None}}
    started = wandb_run(
        home / "runs", "digits", parameters, group="numbers", tags=["localizer", "jax"], run_id="abc123"
    )
    with started as run:
        logger = make_logger(home / "page.html", FakeModel(), run=run)
        logger.on_train_begin()
        logger.phase = "head"
        logger.on_epoch_end(0, {"loss": 2.5})
        logger.on_epoch_end(1, {"loss": float("nan"), "val_loss": 0.75})
        assert logger.state()["wandb_run_id"] == "abc123"
        assert os.environ["WANDB_ERROR_REPORTING"] == "false"
        run.summary.update({"parameters": 42})
    [folder] = (home / "runs" / "wandb").glob("offline-run-*-abc123")

    history = history_of(folder / "run-abc123.wandb")
    steps = [(row["_step"], row["epoch"], row.get("phase")) for row in history]
    assert steps == [(0, 0, None), (1, 1, "head"), (2, 2, "head")]
    assert (history[1]["loss"], history[2]["val_loss"]) == (2.5, 0.75)
    for row in history:
        assert (row["images"]["count"], row["images"]["width"], row["images"]["height"]) == (2, 8, 8)
        for name, model_input in zip(row["images"]["filenames"], MODEL_INPUTS, strict=True):
            with Image.open(folder / "files" / name) as image:
                np.testing.assert_array_equal(np.asarray(image), model_input)

    def boxes(epoch: int, image: int, kind: str) -> list[dict[str, Any]]:
        path = folder / "files" / history[epoch]["images"]["all_boxes"][image][kind]["path"]
        content = json.loads(path.read_text())
        assert content["class_labels"] == {"0": "nothing", "1": "cat", "2": "label 2"}
        return content["box_data"]

    assert boxes(0, 0, "ground_truth") == [
        {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.7}, "class_id": 1, "box_caption": "cat"},
        {"position": {"minX": 0.6, "maxX": 0.9, "minY": 0.1, "maxY": 0.3}, "class_id": 2, "box_caption": "label 2"},
    ]
    assert boxes(0, 0, "predictions") == [
        {
            "position": {"minX": 0.3, "maxX": 0.7, "minY": 0.2, "maxY": 0.45},
            "class_id": 1,
            "box_caption": "cat 0.88 · IoU 0.20",
            "scores": {"score": 0.875, "iou": 0.2},
        }
    ]
    # Image 2: the predicted box is twice as high as the true box, and a tenth further right in the next epoch:
    # intersection 0.4 x 0.125, union 0.0625 + 0.125 - 0.05.
    assert boxes(0, 1, "predictions")[0]["scores"] == {"score": 0.5, "iou": 0.5}
    assert boxes(1, 1, "predictions")[0]["position"] == {"minX": 0.35, "maxX": 0.85, "minY": 0.0, "maxY": 0.25}
    assert boxes(1, 1, "predictions")[0]["scores"] == {"score": 0.5, "iou": 0.36364}

    records = records_of(folder / "run-abc123.wandb")
    [started_run] = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert (started_run.project, started_run.display_name) == ("boxline", "digits faster-head")
    assert (started_run.run_group, list(started_run.tags)) == ("numbers", ["localizer", "jax"])
    config = {item.key: json.loads(item.value_json) for item in started_run.config.update}
    config.pop("_wandb", None)
    assert config == {"system": "digits", "git_revision": None, "dvc_experiment": "faster-head", **parameters}
    summary = {
        item.key or item.nested_key[0]: item.value_json
        for record in records
        if record.WhichOneof("record_type") == "summary"
        for item in record.summary.update
    }
    assert summary["parameters"] == "42"


@pytest.mark.slow
def test_run_writes_only_into_its_folder_and_stores_no_secrets(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("ANOTHER_PROGRAMS_TOKEN", SECRET)
    with wandb_run(home / "runs", "digits", {}) as run:
        logger = make_logger(home / "reports" / "page.html", run=run, model_inputs=MODEL_INPUTS[..., :1])
        logger.on_epoch_end(0, {"loss": 2.5})
        sys.stdout.write("output of a training\n")
    [log] = (home / "runs" / "wandb").glob("offline-run-*/*.wandb")
    kinds = {record.WhichOneof("record_type") for record in records_of(log)}
    # No environment, output or statistics. The metric is the best validation loss, the files are images and boxes.
    assert kinds == {"header", "run", "config", "telemetry", "files", "history", "metric", "summary", "exit"}
    for index, path in enumerate(sorted((home / "runs").rglob("*.png"), key=first_pixel)):
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), MODEL_INPUTS[index, ..., 0])
    assert {path.name for path in home.iterdir()} == {"home", "reports", "runs"}
    files = [path for path in home.rglob("*") if path.is_file()]
    suffixes = {path.suffix for path in (home / "runs").rglob("*") if path.is_file()}
    assert suffixes == {".wandb", ".log", ".png", ".json"}
    for path in files:
        content = path.read_bytes()
        for secret in (KEY, SECRET):
            assert secret.encode() not in content, path


def first_pixel(path: Path) -> int:
    with Image.open(path) as image:
        assert image.mode == "L"
        return int(np.asarray(image)[0, 0])


def forbid_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `import wandb` fail."""
    real = builtins.__import__

    def without_wandb(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "wandb":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without_wandb)


def history_of(path: Path) -> list[dict[str, Any]]:
    """The logged rows of a .wandb file."""
    rows = []
    for history in (record.history for record in records_of(path) if record.WhichOneof("record_type") == "history"):
        row: dict[str, Any] = {"_step": history.step.num}
        for item in history.item:
            *outer, last = item.nested_key or [item.key]
            place = row
            for name in outer:
                place = place.setdefault(name, {})
            place[last] = json.loads(item.value_json)
        rows.append(row)
    return rows


def records_of(path: Path) -> list[Any]:
    """A .wandb file is 7 bytes, then records with checksum, length and kind before their bytes."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # waits for wandb's service, which closes the file only after the run has finished
    content, offset, records = path.read_bytes(), 7, []
    assert len(content) < 32768, "records of a longer file are split at block boundaries"
    while offset < len(content):
        _, length, _ = struct.unpack_from("<IHB", content, offset)
        records.append(wandb_internal_pb2.Record.FromString(content[offset + 7 : offset + 7 + length]))
        offset += 7 + length
    return records
