"""The predictor with small models whose predictions are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.inference.predictor import Predictor
from tests.support.trained_models import BOX_REL_XYXY, SIZE, write_detector, write_localizer

pytestmark = pytest.mark.slow


def test_predictor_decodes_outputs_without_background(tmp_path: Path) -> None:
    predictor = Predictor.load(write_detector(tmp_path / "train"))
    prediction = predictor.predict_batch(np.zeros((2, SIZE, SIZE, 3), np.uint8))
    assert prediction.outputs["box"].shape == (2, 2, 2, 5)
    assert [boxes.labels.tolist() for boxes in prediction.boxes] == [[5, 3], [5, 3]]
    assert prediction.boxes[1].scores == pytest.approx([0.6, 0.1])


def test_resize_makes_gray_input_and_keeps_letterbox_transform(tmp_path: Path) -> None:
    predictor = Predictor.load(write_localizer(tmp_path / "train", resize="crop", channels=1))
    model_input, transform = predictor.resize(np.full((100, 200, 3), 80, np.uint8))
    assert model_input.shape == (SIZE, SIZE, 1)
    assert (model_input == 80).all()  # the crop fills the input, and boxes follow the letterbox
    assert (transform.scaled_width, transform.scaled_height, transform.top) == (40, 20, 10)
    [boxes] = predictor.predict_batch(model_input[None]).boxes
    left, top, right, bottom = BOX_REL_XYXY
    assert boxes.boxes_rel_xywh[0] == pytest.approx([left, top, right - left, bottom - top])


def test_corrupt_model_file_is_reported(tmp_path: Path) -> None:
    folder = write_localizer(tmp_path / "train")
    path = folder / "model.keras"
    path.write_text("not a model")
    with pytest.raises(BoxlineError) as raised:
        Predictor.load(folder)
    assert str(raised.value).startswith(f"{path} is not a model that can be loaded (")
    assert str(raised.value).endswith("`dvc repro` trains it again.")


def test_model_of_another_input_size_is_reported(tmp_path: Path) -> None:
    folder = write_localizer(tmp_path / "train")
    path = folder / "model_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_size": 50}))
    with pytest.raises(BoxlineError) as raised:
        Predictor.load(folder)
    assert str(raised.value) == (
        f"{folder / 'model.keras'} takes images of shape (None, 40, 40, 3), "
        "model_config.json says (None, 50, 50, 3). Give the folder that a train stage wrote."
    )
