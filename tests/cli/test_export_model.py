"""boxline export-model, whose files plain Keras reads."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.commands import run_command
from tests.support.tiny_project import PROJECT
from tests.support.trained_models import SIZE, write_localizer


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which one system is trained."""
    (tmp_path / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    write_localizer(tmp_path / "data" / "digits_localizer" / "train")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_h5_file_predicts_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    exported = run_command(monkeypatch, caplog, "export-model", "digits_localizer", "--format", "h5")
    assert exported == (0, ["wrote digits_localizer.h5"])
    assert {path.name for path in project.iterdir()} == {"data", "digits_localizer.h5", "params.yaml"}
    images = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.uint8)
    original = keras.saving.load_model(project / "data" / "digits_localizer" / "train" / "model.keras")
    read = keras.saving.load_model(project / "digits_localizer.h5")
    expected = original.predict_on_batch(images)
    for name, values in read.predict_on_batch(images).items():
        np.testing.assert_array_equal(values, expected[name])


def test_out_names_the_file(project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    arguments = ("digits_localizer", "--format", "h5", "--out", "models/first.h5")
    assert run_command(monkeypatch, caplog, "export-model", *arguments) == (0, ["wrote models/first.h5"])
    assert (project / "models" / "first.h5").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ("snack_localizer", "--format", "h5"),
            "data/snack_localizer/train is not a model folder: it lacks model.keras, labels.json, model_config.json. "
            "Give the folder that a train stage wrote, such as data/coco_yolo/train.",
            id="not trained",
        ),
        pytest.param(
            ("digits_localizer", "--format", "h5", "--out", "first.keras"),
            "--out is first.keras, expected a name that ends with .h5.",
            id="another suffix",
        ),
        pytest.param(
            ("digits_localizer", "--format", "h5", "--out", "data"),
            "--out is data, a folder; expected a file. Name one in it: data/NAME",
            id="a folder",
        ),
    ],
)
def test_mistakes_are_reported(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert run_command(monkeypatch, caplog, "export-model", *arguments) == (1, [f"Error: {message}"])
    assert {path.name for path in project.iterdir()} == {"data", "params.yaml"}
