"""Plots of localizers, checked by their pixels and captions."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.image_grid import CAPTION_INCHES, DOTS_PER_INCH, TILE_INCHES, PredictedImages
from pipeline.plots.localization import (
    BAR_LEFT,
    BAR_WIDTH,
    HEADER_INCHES,
    MAX_BARS,
    MIN_BARS,
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


def tile(path: Path, index: int, columns: int, caption_inches: float = CAPTION_INCHES) -> np.ndarray:
    """The pixels of one tile of a plot with captions and a header."""
    row, column = divmod(index, columns)
    top = round((HEADER_INCHES + row * (TILE_INCHES + caption_inches) + caption_inches) * DOTS_PER_INCH)
    left, side = round(column * TILE_INCHES * DOTS_PER_INCH), round(TILE_INCHES * DOTS_PER_INCH)
    return pixels_of(path)[top : top + side, left : left + side]


def test_true_boxes_are_yellow_and_predicted_boxes_green(tmp_path: Path) -> None:
    pixels = list(np.zeros((9, 40, 40, 1), np.uint8))
    ground_truth = [true(1, [0.1, 0.2 + 0.05 * i, 0.3, 0.2]) for i in range(9)]
    predictions = [predicted(1, [0.5, 0.1, 0.4, 0.3 + 0.05 * i], 0.8) for i in range(9)]
    predictions[4] = NOTHING
    path = tmp_path / "predictions.png"
    save_localizations(path, PredictedImages(pixels, ["1.jpg"] * 9, ground_truth, predictions, NAMES))
    height, width = pixels_of(path).shape[:2]
    assert width == round(3 * TILE_INCHES * DOTS_PER_INCH)
    assert height == int((3 * (TILE_INCHES + 2 * CAPTION_INCHES) + HEADER_INCHES) * DOTS_PER_INCH)
    for index in range(9):
        shown = tile(path, index, columns=3, caption_inches=2 * CAPTION_INCHES)
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
    assert localization_caption(NOTHING, predicted(6, box, 0.5), NAMES) == "doughnut (0.50), true: no box"
    assert localization_caption(NOTHING, NOTHING, NAMES) == "no prediction, true: no box"


@pytest.mark.parametrize(("label", "is_wrong"), [(2, False), (3, True)])
def test_caption_is_red_if_the_class_is_wrong(tmp_path: Path, label: int, is_wrong: bool) -> None:
    path = tmp_path / "one.png"
    box = [0.1, 0.1, 0.4, 0.2]
    pixels, prediction = [np.zeros((8, 8, 3), np.uint8)], predicted(label, box, 1)
    save_localizations(path, PredictedImages(pixels, ["1.jpg"], [true(2, box)], [prediction], NAMES))
    assert shows(pixels_of(path), WRONG_CLASS_COLOR) is is_wrong


@pytest.mark.parametrize("num_classes", [7, 20, 91])
def test_bars_are_as_long_as_the_probabilities(tmp_path: Path, num_classes: int) -> None:
    """All classes have a bar, up to MAX_BARS of them; the bar of the true class, here the second one, is yellow."""
    probabilities = np.full(num_classes, 0.2 / (num_classes - 2))
    probabilities[[num_classes - 1, 1]] = 0.5, 0.3
    path = tmp_path / "probabilities.png"
    names = [f"class {label}" for label in range(num_classes)]
    save_probabilities(path, np.zeros((1, 8, 8, 1), np.uint8), [1], probabilities[None], names)
    bars = tile(path, 1, columns=2)
    rows = max(MIN_BARS, min(MAX_BARS, num_classes))
    left, top, right, bottom = extent_in(bars, TRUE_BOX_COLOR)
    assert (left, right) == pytest.approx((BAR_LEFT, BAR_LEFT + BAR_WIDTH * 0.3), abs=0.02)
    assert (top + bottom) / 2 == pytest.approx(1.5 / rows, abs=0.02)
    expected = [0.5, *[0.2 / (num_classes - 2)] * (min(MAX_BARS, num_classes) - 2)]
    for row, value in zip([0, *range(2, min(MAX_BARS, num_classes))], expected, strict=True):
        middle = np.abs(bars[round((row + 0.5) / rows * len(bars))] - to_rgb(OTHER_CLASS_COLOR)).max(axis=1) < 0.1
        in_bar = middle[round(BAR_LEFT * len(bars)) - 1 : round((BAR_LEFT + BAR_WIDTH * value) * len(bars)) + 1]
        assert in_bar.sum() / len(bars) == pytest.approx(BAR_WIDTH * value, abs=0.02)
    assert shows(pixels_of(path), WRONG_CLASS_COLOR)  # another class is more probable


def test_true_class_without_a_bar_has_a_caption(tmp_path: Path) -> None:
    probabilities = np.r_[np.full(MAX_BARS, 1 / MAX_BARS), 0][None]
    names = [f"class {label}" for label in range(MAX_BARS + 1)]
    path = tmp_path / "probabilities.png"
    save_probabilities(path, np.zeros((1, 8, 8, 1), np.uint8), [MAX_BARS], probabilities, names)
    assert not shows(tile(path, 1, columns=2), TRUE_BOX_COLOR)
    assert shows(pixels_of(path), WRONG_CLASS_COLOR)
