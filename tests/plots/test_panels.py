"""Panels of numbers, checked by the positions of their colors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.plots.image_grid import DOTS_PER_INCH
from pipeline.plots.panels import (
    BAR_COLOR,
    LINE_COLORS,
    MAX_CLASSES,
    PANEL_INCHES,
    Bars,
    Lines,
    classes_panel,
    save_panels,
    sizes_panel,
)
from tests.support.drawn_pixels import pixels_of, shows

PANEL_WIDTH, PANEL_HEIGHT = (round(inches * DOTS_PER_INCH) for inches in PANEL_INCHES)


def near(pixels: np.ndarray, color: str) -> np.ndarray:
    """Whether each pixel has the color, bool [height, width]."""
    return np.abs(pixels - [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]).max(axis=2) < 0.1


def bar_lengths(pixels: np.ndarray) -> list[int]:
    """Length of each bar in pixels, from top to bottom."""
    lengths = near(pixels, BAR_COLOR).sum(axis=1)
    starts = np.flatnonzero((lengths[1:] > 0) & (lengths[:-1] == 0)) + 1
    return [int(lengths[start + 3]) for start in starts]


def axis_length(pixels: np.ndarray) -> int:
    """Length of the horizontal axis in pixels: the longest dark line."""
    return int((pixels.max(axis=2) < 0.2).sum(axis=1).max())


def test_bars_have_lengths_of_their_values_on_an_axis_to_one(tmp_path: Path) -> None:
    save_panels(tmp_path / "a.png", [Bars("title", ["a", "b", "c", "d"], [0.5, None, 0.25, 1.0])])
    pixels = pixels_of(tmp_path / "a.png")
    whole = axis_length(pixels) / 1.13
    assert [length / whole for length in bar_lengths(pixels)] == pytest.approx([0.5, 0.25, 1.0], abs=0.01)


def test_axis_ends_at_largest_value_if_requested(tmp_path: Path) -> None:
    save_panels(tmp_path / "a.png", [Bars("title", ["a", "b"], [0.01, 0.04], scale_to_max=True)])
    pixels = pixels_of(tmp_path / "a.png")
    whole = axis_length(pixels) / 1.13
    assert [length / whole for length in bar_lengths(pixels)] == pytest.approx([0.25, 1.0], abs=0.01)


@pytest.mark.parametrize("values", [[0.0, 0.0], [None, None], []])
def test_bars_without_values_are_empty(tmp_path: Path, values: list[float | None]) -> None:
    save_panels(tmp_path / "a.png", [Bars("title", ["a", "b"][: len(values)], values, scale_to_max=True)])
    assert bar_lengths(pixels_of(tmp_path / "a.png")) == []


def test_missing_value_is_a_gap_in_its_own_line(tmp_path: Path) -> None:
    x = [0.1, 0.3, 0.5, 0.7, 0.9]
    rising: list[float | None] = [0.1, None, None, None, 0.2]
    save_panels(tmp_path / "a.png", [Lines("title", "threshold", x, {"one": rising, "two": [0.4] * 5})])
    pixels = pixels_of(tmp_path / "a.png")
    lower = pixels[len(pixels) // 2 :]  # the legend is above
    one, two = (np.flatnonzero(near(lower, color).any(axis=0)) for color in LINE_COLORS[:2])
    assert (np.ptp(one), np.ptp(two)) == pytest.approx((np.ptp(two), np.ptp(one)), abs=4)
    assert np.diff(two).max() == 1
    assert np.diff(one).max() == pytest.approx(np.ptp(two), abs=10)  # both ends have a marker


def test_marked_position_is_a_vertical_line(tmp_path: Path) -> None:
    def dark_columns(marked: float | None) -> np.ndarray:
        save_panels(tmp_path / "a.png", [Lines("title", "threshold", [0, 1], {"one": [0.5, 0.5]}, marked)])
        return np.flatnonzero((pixels_of(tmp_path / "a.png").max(axis=2) < 0.2).mean(axis=0) > 0.35)

    left, right = dark_columns(None)[[0, -1]]
    [marked] = {int(column) for column in dark_columns(0.35)} - {int(column) for column in dark_columns(None)}
    assert (marked - left) / (right - left) == pytest.approx(0.35, abs=0.01)


def test_there_are_two_panels_per_row(tmp_path: Path) -> None:
    bars = Bars("title", ["a"], [0.5])
    save_panels(tmp_path / "a.png", [bars, bars, bars])
    pixels = pixels_of(tmp_path / "a.png")
    assert pixels.shape[:2] == (2 * PANEL_HEIGHT, 2 * PANEL_WIDTH)
    assert shows(pixels[PANEL_HEIGHT:, :PANEL_WIDTH], BAR_COLOR)
    assert (pixels[PANEL_HEIGHT:, PANEL_WIDTH + 20 :] == 1).all()


def row(name: str, boxes: int, score: float | None) -> dict[str, Any]:
    return {"name": name, "boxes": boxes, "AP": score}


def test_classes_are_sorted_worst_first_without_those_that_have_no_boxes() -> None:
    classes = [row("cat", 1234, 0.5), row("dog", 0, None), row("bird", 3, 0.25), row("cow", 4, 0.25)]
    assert classes_panel(classes, "AP", "AP") == Bars(
        "AP of each class (boxes)", ["cow (4)", "bird (3)", "cat (1,234)"], [0.25, 0.25, 0.5]
    )


def test_only_the_worst_fifteen_classes_are_shown_and_named_in_the_title() -> None:
    classes = [row(f"class {number}", 1, number / 100) for number in range(80, 0, -1)] + [row("none", 0, None)]
    panel = classes_panel(classes, "AP", "Mean IoU")
    assert panel.title == "Mean IoU of the worst 15 of 80 classes (boxes)"
    assert list(panel.values) == [number / 100 for number in range(1, MAX_CLASSES + 1)]


def test_long_names_are_truncated_and_dollar_signs_are_literal(tmp_path: Path) -> None:
    panel = classes_panel([row("a name that has far too many letters", 1, 0.1), row("$x_{y$ $", 2, 0.2)], "AP", "AP")
    assert panel.names == ["a name that has far too… (1)", "$x_{y$ $ (2)"]
    save_panels(tmp_path / "a.png", [panel])
    assert len(bar_lengths(pixels_of(tmp_path / "a.png"))) == 2


def test_sizes_keep_their_order_including_those_without_boxes() -> None:
    sizes = [{"size": "small", "boxes": 0, "AP": None}, {"size": "large", "boxes": 1200, "AP": 0.5}]
    assert sizes_panel(sizes, "AP", "title") == Bars("title", ["small (0)", "large (1,200)"], [None, 0.5])
