"""Which pictures a task gets. What is on them is told by tests/drawing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pipeline.evaluation.detection_pictures import write_task_pictures as write_detections
from pipeline.evaluation.localization_pictures import write_task_pictures as write_localizations
from pipeline.geometry.marks import Marks
from pipeline.systems.coco_yolo import targets as grid_codec
from pipeline.systems.digits_localizer import targets as digits_codec
from pipeline.systems.verbs import Codec
from tests.drawing.pixels import pixels_of

COUNT = 12
SQUARES = np.zeros((COUNT, 20, 20, 1), np.uint8)
TRUTH = [Marks(np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([1]))] * COUNT
ANSWERS = [Marks(np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([1]), np.array([0.9]))] * COUNT
OUTPUTS = {"label": np.full((COUNT, 3), 1 / 3), "bbox": np.zeros((COUNT, 4))}
NAMES = ["zero", "one", "two"]


def write(write_task_pictures: Any, codec: Any, folder: Path) -> dict[str, float]:
    """The pictures that were written, and how many times wider than high each is."""
    write_task_pictures(folder, SQUARES, OUTPUTS, TRUTH, ANSWERS, cast(Codec, codec), NAMES)
    sizes = {path.name: pixels_of(path).shape for path in sorted(folder.iterdir())}
    return {name: shape[1] / shape[0] for name, shape in sizes.items()}


def test_a_localizer_shows_nine_images_and_their_probabilities(tmp_path: Path) -> None:
    shapes = write(write_localizations, digits_codec, tmp_path)
    # Three columns of 2.4 inches over three rows of 2.6 and the header, and twice as wide with bars.
    assert shapes == {
        "predictions.png": pytest.approx(7.2 / 8.06, abs=0.01),
        "probabilities.png": pytest.approx(14.4 / 8.06, abs=0.01),
    }


def test_a_localizer_without_class_probabilities_has_one_picture(tmp_path: Path) -> None:
    assert list(write(write_localizations, SimpleNamespace(), tmp_path)) == ["predictions.png"]


def test_a_detector_shows_every_image(tmp_path: Path) -> None:
    assert write(write_detections, grid_codec, tmp_path) == {"predictions.png": pytest.approx(4 / 3, abs=0.01)}
