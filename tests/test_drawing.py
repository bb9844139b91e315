"""Pictures, judged by their pixels: a box has to be drawn where it is."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.colors import class_color
from pipeline.drawing import draw_predictions, draw_truth, save, save_predictions, show_image, tiles
from pipeline.geometry.marks import Marks
from pipeline.systems.coco_yolo.views import write_views

BLACK = np.zeros((50, 50, 3), np.uint8)


def extent_of(path: Path, color: tuple[float, float, float]) -> list[float]:
    """Left, top, right, bottom of the pixels near that colour, as fractions of a picture that is one square."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), float) / 255
    rows, columns = np.nonzero(np.abs(pixels - color).max(axis=2) < 0.2)
    height, width = pixels.shape[:2]
    return [columns.min() / width, rows.min() / height, columns.max() / width, rows.max() / height]


def one_square():  # type: ignore[no-untyped-def]
    figure, [ax] = tiles(1, columns=1)
    figure.set_layout_engine("none")
    ax.set_position((0, 0, 1, 1))
    show_image(ax, BLACK)
    return figure, ax


def test_a_true_box_is_drawn_where_it_is(tmp_path: Path) -> None:
    figure, ax = one_square()
    draw_truth(ax, Marks(np.array([[0.2, 0.4, 0.5, 0.1]]), np.array([1])))
    save(figure, tmp_path / "truth.png")
    assert extent_of(tmp_path / "truth.png", (1, 1, 1)) == pytest.approx([0.2, 0.4, 0.7, 0.5], abs=0.02)


def test_a_prediction_has_the_colour_of_its_class(tmp_path: Path) -> None:
    figure, ax = one_square()
    marks = Marks(np.array([[0.3, 0.2, 0.1, 0.6]]), np.array([2]), np.array([0.9]))
    draw_predictions(ax, marks, ["nothing", "cat", ""])
    for text in ax.texts:
        assert text.get_text() == " 0.90"
        text.set_visible(False)
    save(figure, tmp_path / "predicted.png")
    assert extent_of(tmp_path / "predicted.png", class_color(2)) == pytest.approx([0.3, 0.2, 0.4, 0.8], abs=0.02)


def test_neighbouring_labels_have_colours_far_apart() -> None:
    colors = np.array([class_color(label) for label in range(12)])
    for one, other in itertools.pairwise(colors):
        assert np.abs(one - other).max() > 0.5


def test_marks_above_a_threshold_include_the_threshold() -> None:
    marks = Marks(np.arange(12.0).reshape(3, 4), np.array([1, 2, 3]), np.array([0.05, 0.1, 0.7]))
    above = marks.above(0.1)
    assert above.labels.tolist() == [2, 3]
    assert above.boxes_rel_xywh.tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize("channels", [1, 3])
def test_one_tile_per_image(tmp_path: Path, channels: int) -> None:
    squares = np.full((5, 20, 20, channels), 128, np.uint8)
    nothing = Marks(np.empty((0, 4)), np.empty(0, int), np.empty(0))
    save_predictions(tmp_path / "tiles.png", squares, [nothing] * 5, [nothing] * 5, [])
    with Image.open(tmp_path / "tiles.png") as picture:
        pixels = np.asarray(picture.convert("L"))
        height, width = pixels.shape
    assert width == 2 * height  # four to a row, two rows
    centres = [
        pixels[height * (1 + 2 * row) // 4, width * (1 + 2 * column) // 8] for row in (0, 1) for column in range(4)
    ]
    assert centres == [128] * 5 + [255] * 3


def test_the_class_map_tints_the_cell_that_has_the_class(tmp_path: Path) -> None:
    classes = np.zeros((1, 2, 2, 3))
    classes[0, :, :, 0] = 1
    classes[0, 1, 0] = [0, 0, 1]  # second row, first column: label 2
    nothing = Marks(np.empty((0, 4)), np.empty(0, int), np.empty(0))
    write_views(tmp_path, BLACK[None], {"class": classes}, [nothing], [nothing], ["nothing", "cat", "dog"], 0.1)
    with Image.open(tmp_path / "grid.png") as picture:
        pixels = np.asarray(picture.convert("RGB"), float) / 255
    height, width = pixels.shape[:2]
    tint = 0.45 * np.array(class_color(2))

    def cell(column: float, row: float) -> np.ndarray:
        """The colour at that fraction of the first of three panels."""
        return pixels[int(height * row), int(width / 3 * column)]

    np.testing.assert_allclose(cell(0.15, 0.85), tint, atol=0.03)
    for column, row in ((0.2, 0.3), (0.8, 0.3), (0.8, 0.85)):
        np.testing.assert_allclose(cell(column, row), 0, atol=0.03)
