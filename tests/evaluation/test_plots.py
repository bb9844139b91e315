"""Which pictures a task gets. What is on them is told by tests/drawing."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pipeline.evaluation import detection_errors, localization_errors
from pipeline.evaluation.detection_plots import write_task_pictures as write_detections
from pipeline.evaluation.localization_plots import write_task_pictures as write_localizations
from pipeline.evaluation.plots import write_error_pictures
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import letterbox
from pipeline.packing.shards import Shards, write_shard
from pipeline.plots.colors import class_color
from pipeline.plots.image_grid import DOTS_PER_INCH, TILE_INCHES
from pipeline.plots.localization import PREDICTED_BOX_COLOR
from pipeline.systems.coco_yolo import targets as grid_codec
from pipeline.systems.digits_localizer import targets as digits_codec
from pipeline.systems.interfaces import Codec
from pipeline.systems.labels import Labels
from tests.support.drawn_pixels import extent_in, pixels_of, shows
from tests.support.scenes import box, detections, image, tables

COUNT = 12
SQUARES = np.zeros((COUNT, 20, 20, 1), np.uint8)
TRUTH = [LabeledBoxes(np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([1]))] * COUNT
ANSWERS = [LabeledBoxes(np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([1]), np.array([0.9]))] * COUNT
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


@pytest.fixture
def black_images(tmp_path: Path) -> Shards:
    """Images 3 and 7, 20 x 20 pixels."""
    write_shard(tmp_path / "pack" / "val" / "0.arrow", np.array([3, 7]), {"image": np.zeros((2, 20, 20, 3), np.uint8)})
    return Shards(tmp_path / "pack", "val")


TWO_IMAGES = tables(
    [image(3, width=100, height=100), image(7, width=200, height=100)],
    [box(1, 3, 5, (10, 20, 30, 40)), box(2, 7, 2, (20, 10, 40, 30)), box(3, 7, 5, (100, 40, 60, 50))],
)
PACK_INDEX = {3: letterbox(100, 100, 20), 7: letterbox(200, 100, 20)}
LABELS = Labels(np.array([0, 5, 2], np.int32), ["nothing", "dog", "cat"])


def test_the_worst_image_comes_first_with_what_a_detector_found_above_its_cut_off(
    tmp_path: Path, black_images: Shards
) -> None:
    found = detections(
        [
            (3, 5, (10, 20, 30, 40), 0.9),  # right
            (7, 2, (20, 10, 40, 30), 0.8),  # right; the dog of this image is missed
            (7, 5, (20, 60, 40, 30), 0.3),  # wrong, and below the best cut-off, 0.35
        ]
    )
    analysis = detection_errors.analyze_errors(TWO_IMAGES, found)
    assert analysis.worst_image_ids.tolist() == [7, 3]
    write_error_pictures(tmp_path, "detection", analysis, found, black_images, TWO_IMAGES, PACK_INDEX, LABELS)
    assert {path.name for path in tmp_path.glob("*.png")} == {"errors.png", "worst.png"}
    pixels = pixels_of(tmp_path / "worst.png")
    first, second = np.split(pixels, 2, axis=1)
    dog, cat = class_color(1), class_color(2)
    assert (shows(first, dog), shows(second, cat)) == (False, False)
    assert extent_in(second, dog)[2:] == pytest.approx([0.4, 0.6], abs=0.03)  # below and beside its name
    # 200 x 100 pixels lie from 1/4 to 3/4 of the square's height: right edge 60 / 200, bottom (50 + 40) / 200.
    assert extent_in(first, cat)[3] == pytest.approx(0.45, abs=0.03)
    inner = first[4:-4, 4:-4]  # the gap between pictures is white, too
    assert extent_in(inner, "white") == pytest.approx([0.5, 0.45, 0.8, 0.7], abs=0.03)  # the dog; the cat is covered


def test_the_worst_image_of_a_localizer_comes_first(tmp_path: Path, black_images: Shards) -> None:
    found = detections([(3, 5, (10, 20, 30, 40), 0.9)])
    analysis = localization_errors.analyze_errors(TWO_IMAGES, found)
    write_error_pictures(tmp_path, "localization", analysis, found, black_images, TWO_IMAGES, PACK_INDEX, LABELS)
    assert {path.name for path in tmp_path.glob("*.png")} == {"errors.png", "worst.png"}
    first, second = np.split(pixels_of(tmp_path / "worst.png")[-round(TILE_INCHES * DOTS_PER_INCH) :], 2, axis=1)
    assert (shows(first, PREDICTED_BOX_COLOR), shows(second, PREDICTED_BOX_COLOR)) == (False, True)


@pytest.mark.parametrize(("task", "module"), [("detection", detection_errors), ("localization", localization_errors)])
def test_errors_of_a_system_that_answers_nothing(tmp_path: Path, black_images: Shards, task: str, module: Any) -> None:
    analysis = module.analyze_errors(TWO_IMAGES, detections([]))
    write_error_pictures(tmp_path, task, analysis, detections([]), black_images, TWO_IMAGES, PACK_INDEX, LABELS)
    assert {path.name for path in tmp_path.glob("*.png")} == {"errors.png", "worst.png"}
