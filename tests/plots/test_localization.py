"""Plots of localizers, checked by their pixels and captions."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.image_grid import DOTS_PER_INCH, TILE_INCHES, PredictedImages
from pipeline.plots.localization import (
    CAPTION_INCHES,
    HEADER_INCHES,
    OTHER_CLASS_COLOR,
    PREDICTED_BOX_COLOR,
    TRUE_BOX_COLOR,
    WRONG_CLASS_COLOR,
    localization_caption,
    save_localizations,
    save_probabilities,
)
from tests.support.drawn_pixels import extent_in, pixels_of, shows

NAMES = ["apple", "banana", "cake", "candy", "carrot", "cookie", "doughnut"]
NOTHING = LabeledBoxes(np.empty((0, 4)), np.empty(0, int), np.empty(0))


def true(label: int, box: list[float]) -> LabeledBoxes:
    return LabeledBoxes(np.array([box]), np.array([label]))


def predicted(label: int, box: list[float], score: float) -> LabeledBoxes:
    return LabeledBoxes(np.array([box]), np.array([label]), np.array([score]))


def tile(path: Path, index: int, columns: int) -> np.ndarray:
    """The pixels of one tile of a plot with captions and a header."""
    row, column = divmod(index, columns)
    top = round((HEADER_INCHES + row * (TILE_INCHES + CAPTION_INCHES) + CAPTION_INCHES) * DOTS_PER_INCH)
    left, side = round(column * TILE_INCHES * DOTS_PER_INCH), round(TILE_INCHES * DOTS_PER_INCH)
    return pixels_of(path)[top : top + side, left : left + side]


def test_true_boxes_are_yellow_and_predicted_boxes_green(tmp_path: Path) -> None:
    model_inputs = np.zeros((9, 40, 40, 1), np.uint8)
    ground_truth = [true(1, [0.1, 0.2 + 0.05 * i, 0.3, 0.2]) for i in range(9)]
    predictions = [predicted(1, [0.5, 0.1, 0.4, 0.3 + 0.05 * i], 0.8) for i in range(9)]
    predictions[4] = NOTHING
    path = tmp_path / "predictions.png"
    save_localizations(path, PredictedImages(model_inputs, ground_truth, predictions, NAMES))
    height, width = pixels_of(path).shape[:2]
    assert width == round(3 * TILE_INCHES * DOTS_PER_INCH)
    assert height == int((3 * (TILE_INCHES + CAPTION_INCHES) + HEADER_INCHES) * DOTS_PER_INCH)
    for index in range(9):
        shown = tile(path, index, columns=3)
        top = 0.2 + 0.05 * index
        assert extent_in(shown, TRUE_BOX_COLOR) == pytest.approx([0.1, top, 0.4, top + 0.2], abs=0.025)
        if index == 4:
            assert not shows(shown, PREDICTED_BOX_COLOR)
        else:
            bottom = 0.4 + 0.05 * index
            assert extent_in(shown, PREDICTED_BOX_COLOR) == pytest.approx([0.5, 0.1, 0.9, bottom], abs=0.025)


def test_caption_has_class_score_and_iou() -> None:
    # 0.4 x 0.2 and 0.4 x 0.2, half of each shared: 1 / 3
    box, shifted = [0.1, 0.1, 0.4, 0.2], [0.3, 0.1, 0.4, 0.2]
    assert localization_caption(true(2, box), predicted(2, shifted, 0.834), NAMES) == "cake (0.83), IoU 0.33"
    assert localization_caption(true(2, box), predicted(6, box, 0.5), NAMES) == "doughnut (0.50), true: cake, IoU 1.00"
    assert localization_caption(true(2, box), NOTHING, NAMES) == "no prediction, true: cake"


@pytest.mark.parametrize(("label", "is_wrong"), [(2, False), (3, True)])
def test_caption_is_red_if_the_class_is_wrong(tmp_path: Path, label: int, is_wrong: bool) -> None:
    path = tmp_path / "one.png"
    box = [0.1, 0.1, 0.4, 0.2]
    images = PredictedImages(np.zeros((1, 8, 8, 3), np.uint8), [true(2, box)], [predicted(label, box, 1)], NAMES)
    save_localizations(path, images)
    assert shows(pixels_of(path), WRONG_CLASS_COLOR) is is_wrong


def test_bars_are_as_long_as_the_five_largest_probabilities(tmp_path: Path) -> None:
    probabilities = np.array([[0.05, 0.3, 0.5, 0.02, 0.08, 0.04, 0.01]])
    path = tmp_path / "probabilities.png"
    save_probabilities(path, np.zeros((1, 8, 8, 1), np.uint8), [1], probabilities, NAMES)
    bars = tile(path, 1, columns=2)
    # Five rows with a bar around 0.68 of each, from 0.04, 0.78 long for probability 1; label 1 is second and true.
    left, top, right, bottom = extent_in(bars, TRUE_BOX_COLOR)
    assert (left, right) == pytest.approx((0.04, 0.04 + 0.78 * 0.3), abs=0.02)
    assert (top + bottom) / 2 == pytest.approx((1 + 0.68) / 5, abs=0.02)
    for row, value in ((0, 0.5), (2, 0.08), (3, 0.05), (4, 0.04)):
        middle = np.abs(bars[round((row + 0.68) / 5 * len(bars))] - to_rgb(OTHER_CLASS_COLOR)).max(axis=1) < 0.1
        assert middle[:130].sum() / len(bars) == pytest.approx(0.78 * value, abs=0.02)
    assert shows(pixels_of(path), WRONG_CLASS_COLOR)  # another class is more probable


def test_true_class_without_a_bar_has_a_caption(tmp_path: Path) -> None:
    probabilities = np.array([[0.2, 0.3, 0.2, 0.1, 0.1, 0.1, 0.0]])
    path = tmp_path / "probabilities.png"
    save_probabilities(path, np.zeros((1, 8, 8, 1), np.uint8), [6], probabilities, NAMES)
    assert not shows(tile(path, 1, columns=2), TRUE_BOX_COLOR)
    assert shows(pixels_of(path), WRONG_CLASS_COLOR)
