"""Images with boxes, checked by their pixels: a box must be drawn in its place."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.colors import class_color
from pipeline.plots.grid_view import IGNORED_CELL, draw_target_classes, write_grid_view
from pipeline.plots.image_grid import (
    CAPTION_INCHES,
    DOTS_PER_INCH,
    MAX_FIGURE_PIXELS,
    TILE_INCHES,
    PredictedImages,
    draw_boxes,
    draw_ground_truth,
    draw_labeled_boxes,
    save,
    save_detections,
    save_samples,
    show_image,
    show_image_in_tile,
    tiles,
)
from pipeline.plots.text import MAX_TITLE_LENGTH, drawable, title_of
from tests.support.drawn_pixels import extent_in, pixels_of

BLACK = np.zeros((50, 50, 3), np.uint8)
NOTHING = LabeledBoxes(np.empty((0, 4)), np.empty(0, int), np.empty(0))


def one_tile() -> tuple[Figure, Any]:
    """A figure with one axes that fills it and shows a black image."""
    figure, [ax] = tiles(1, columns=1)
    ax.set_position((0, 0, 1, 1))
    show_image(ax, BLACK)
    return figure, ax


def test_ground_truth_is_drawn_in_place(tmp_path: Path) -> None:
    figure, ax = one_tile()
    draw_ground_truth(ax, LabeledBoxes(np.array([[0.2, 0.4, 0.5, 0.1]]), np.array([1])))
    save(figure, tmp_path / "ground_truth.png")
    assert extent_in(pixels_of(tmp_path / "ground_truth.png"), (1, 1, 1)) == pytest.approx(
        [0.2, 0.4, 0.7, 0.5], abs=0.02
    )


def test_prediction_has_the_color_of_its_class(tmp_path: Path) -> None:
    figure, ax = one_tile()
    boxes = LabeledBoxes(np.array([[0.3, 0.2, 0.1, 0.6]]), np.array([2]), np.array([0.9]))
    draw_labeled_boxes(ax, boxes, ["nothing", "cat", ""])
    [text], [_, background] = ax.texts, ax.patches
    assert text.get_text() == " 0.90"
    text.set_visible(False)
    background.set_visible(False)
    save(figure, tmp_path / "predicted.png")
    assert extent_in(pixels_of(tmp_path / "predicted.png"), class_color(2)) == pytest.approx(
        [0.3, 0.2, 0.4, 0.8], abs=0.02
    )


def test_colors_of_neighboring_labels_are_far_apart() -> None:
    colors = np.array([class_color(label) for label in range(12)])
    for one, other in itertools.pairwise(colors):
        assert np.abs(one - other).max() > 0.5


def test_names_do_not_overlap() -> None:
    """Twelve overlapping boxes: names are drawn while there is space, none over another."""
    _, ax = one_tile()
    boxes = np.array([[0.3 + 0.01 * i, 0.4 + 0.01 * i, 0.2, 0.2] for i in range(12)])
    draw_labeled_boxes(ax, LabeledBoxes(boxes, np.arange(12), np.linspace(0.9, 0.1, 12)), ["parking meter"] * 12)
    backgrounds = [patch.get_extents() for patch in ax.patches[12:]]
    assert 3 < len(backgrounds) < 12
    assert len(ax.texts) == len(backgrounds)
    assert ax.texts[0].get_text() == "parking meter 0.90"  # the highest score first
    for one, other in itertools.combinations(backgrounds, 2):
        assert min(one.x1, other.x1) - max(one.x0, other.x0) <= 1e-6 or (
            min(one.y1, other.y1) - max(one.y0, other.y0) <= 1e-6
        )


@pytest.mark.parametrize("box", [[0.9, 0.0, 0.1, 0.05], [-0.2, 0.95, 0.1, 0.1], [0.0, 0.0, 1.0, 1.0], [2, 2, 1, 1]])
def test_name_stays_on_the_image_and_inside_its_background(box: list[float]) -> None:
    figure, ax = one_tile()
    draw_labeled_boxes(ax, LabeledBoxes(np.array([box]), np.array([0]), np.array([0.5])), [r"Wj$\formula$"])
    figure.draw_without_rendering()
    text, background = ax.texts[0].get_window_extent(), ax.patches[1].get_window_extent()
    assert background.x0 - 0.5 <= text.x0
    assert text.x1 <= background.x1 + 0.5
    width, height = figure.get_size_inches() * figure.dpi
    assert background.x0 >= -0.5
    assert background.y0 >= -0.5
    assert background.x1 <= width + 0.5
    assert background.y1 <= height + 0.5


def test_letters_are_white_on_dark_colors_and_black_on_bright_colors() -> None:
    _, ax = one_tile()
    boxes = LabeledBoxes(
        np.array([[0.1, 0.1, 0.2, 0.2], [0.6, 0.6, 0.2, 0.2]]), np.array([14, 2]), np.array([0.9, 0.8])
    )
    draw_labeled_boxes(ax, boxes, ["x"] * 30)
    blue, green = class_color(14), class_color(2)
    assert blue[2] > 2 * blue[1]
    assert green[1] > 0.9
    assert [text.get_color() for text in ax.texts] == ["white", "black"]


def test_boxes_above_a_threshold_include_the_threshold() -> None:
    boxes = LabeledBoxes(np.arange(12.0).reshape(3, 4), np.array([1, 2, 3]), np.array([0.05, 0.1, 0.7]))
    above = boxes.above(0.1)
    assert above.labels.tolist() == [2, 3]
    assert above.boxes_rel_xywh.tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize("channels", [1, 3])
def test_detections_have_one_tile_per_image(tmp_path: Path, channels: int) -> None:
    images = list(np.full((5, 20, 20, channels), 128, np.uint8))
    save_detections(tmp_path / "tiles.png", PredictedImages(images, ["1.jpg"] * 5, [NOTHING] * 5, [NOTHING] * 5, []))
    pixels = pixels_of(tmp_path / "tiles.png")[..., 0]
    height, width = pixels.shape
    assert width / height == pytest.approx(4 * 2.4 / (2 * 2.6), abs=0.01)  # four per row, two rows with titles
    centers = [
        pixels[height * (1 + 2 * row) // 4, width * (1 + 2 * column) // 8] for row in (0, 1) for column in range(4)
    ]
    assert centers == pytest.approx([128 / 255] * 5 + [1] * 3)


@pytest.mark.parametrize(("width", "height"), [(600, 300), (300, 600)])
def test_image_is_shown_pixel_by_pixel_in_its_own_shape(tmp_path: Path, width: int, height: int) -> None:
    """Two images of lines that are one pixel wide: they survive, and so does the shape."""
    lines = np.zeros((height, width, 3), np.uint8)
    lines[::2], small = 255, np.full((10, 10, 3), 90, np.uint8)
    box = LabeledBoxes(np.array([[0.5, 0.5, 0.25, 0.25]]), np.array([0]))
    images = PredictedImages([lines, small], ["lines.png", "small.png"], [NOTHING] * 2, [NOTHING] * 2, ["cat"])
    figure, [first, second] = tiles(2, 2, CAPTION_INCHES, tile_pixels=images.largest_side)
    show_image_in_tile(first, lines)
    show_image_in_tile(second, small)
    draw_boxes(first, box.boxes_rel_xywh, "red")
    save(figure, tmp_path / "tiles.png")
    tile = first.get_window_extent()
    assert (tile.width, tile.height) == pytest.approx((width, height), abs=1)
    assert second.get_window_extent().width == pytest.approx(600, abs=1)
    pixels = pixels_of(tmp_path / "tiles.png")
    left, top = round(tile.x0), round(pixels.shape[0] - tile.y1)
    shown = pixels[top + 2 : top + height - 2, left + 2 : left + width - 2]
    changes = np.abs(np.diff(shown[: height // 2 - 8, 5, 0]))
    assert (changes > 0.9).mean() > 0.95
    assert extent_in(shown, "red") == pytest.approx([0.5, 0.5, 0.75, 0.75], abs=0.02)


def test_figure_of_many_images_has_a_bounded_size() -> None:
    figure, axes = tiles(400, 4, CAPTION_INCHES, tile_pixels=640)
    width, height = figure.get_size_inches() * figure.dpi
    assert len(axes) == 400
    assert width * height <= MAX_FIGURE_PIXELS + 1
    assert height < 2**16  # the limit of Matplotlib


def test_title_is_escaped_and_shortened(tmp_path: Path) -> None:
    """Letters that the font lacks would be warnings, and warnings are errors here."""
    images = PredictedImages(
        [BLACK],
        ["a/\n$x$/猫" + 60 * "b" + "1.jpg"],
        [NOTHING],
        [LabeledBoxes([[0.1, 0.1, 0.5, 0.5]], [0], [0.5])],
        ["猫"],
    )
    save_detections(tmp_path / "tiles.png", images)
    assert drawable("a/\n$x$/猫") == "a/\\n$x$/\\u732b"
    assert len(title_of(images.titles[0])) == MAX_TITLE_LENGTH


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_have_nine_tiles_with_boxes_in_class_colors(tmp_path: Path, channels: int) -> None:
    model_inputs = np.full((9, 30, 30, channels), 40, np.uint8)
    ground_truth = [LabeledBoxes(np.array([[0.2, 0.3, 0.5, 0.04 * i + 0.2]]), np.array([i])) for i in range(9)]
    save_samples(tmp_path / "samples.png", model_inputs, ground_truth, [""] * 9)
    pixels = pixels_of(tmp_path / "samples.png")
    side = round(TILE_INCHES * DOTS_PER_INCH)
    assert pixels.shape == (3 * side, 3 * side, 3)
    for index in range(9):
        row, column = divmod(index, 3)
        shown = pixels[row * side : (row + 1) * side, column * side : (column + 1) * side]
        below_the_name = extent_in(shown, class_color(index))
        assert below_the_name[::2] == pytest.approx([0.2, 0.7], abs=0.02)
        assert below_the_name[3] == pytest.approx(0.5 + 0.04 * index, abs=0.02)


def test_class_map_tints_the_cell_with_the_class(tmp_path: Path) -> None:
    classes = np.zeros((1, 2, 2, 3))
    classes[0, :, :, 0] = 1
    classes[0, 1, 0] = [0, 0, 1]  # second row, first column: label 2
    write_grid_view(tmp_path, BLACK[None], {"class": classes}, [NOTHING], [NOTHING], ["nothing", "cat", "dog"], 0.1)
    pixels = pixels_of(tmp_path / "grid.png")
    height, width = pixels.shape[:2]
    tint = 0.45 * np.array(class_color(2))

    def cell(column: float, row: float) -> np.ndarray:
        """The color at a fraction of the first of three panels."""
        return pixels[int(height * row), int(width / 3 * column)]

    np.testing.assert_allclose(cell(0.15, 0.85), tint, atol=0.03)
    for column, row in ((0.2, 0.3), (0.8, 0.3), (0.8, 0.85)):
        np.testing.assert_allclose(cell(column, row), 0, atol=0.03)


def test_class_map_of_targets_shows_ignored_cells_in_gray(tmp_path: Path) -> None:
    figure, [ax] = tiles(1, columns=1)
    show_image(ax, BLACK)
    draw_target_classes(ax, {"class": np.array([[0, 2], [-1, 0]], np.int32)}, ["nothing", "cat", "dog"])
    save(figure, tmp_path / "targets.png")
    pixels = pixels_of(tmp_path / "targets.png")
    # At the top of each cell, above its name.
    tints = {
        corner: pixels[int(len(pixels) * corner[1]), int(len(pixels) * corner[0])]
        for corner in ((0.25, 0.1), (0.75, 0.1), (0.25, 0.6), (0.75, 0.6))
    }
    np.testing.assert_allclose(tints[0.75, 0.1], 0.45 * np.array(class_color(2)), atol=0.03)
    np.testing.assert_allclose(tints[0.25, 0.6], IGNORED_CELL[3] * np.array(IGNORED_CELL[:3]), atol=0.03)
    for background in ((0.25, 0.1), (0.75, 0.6)):
        np.testing.assert_allclose(tints[background], 0, atol=0.03)
