"""Annotated images, checked by their pixels."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.annotated_image import resize_for_drawing, save_annotated_image
from pipeline.plots.colors import class_color
from tests.support.drawn_pixels import extent_in, pixels_of

NOTHING = LabeledBoxes(np.empty((0, 4)), np.empty(0, int), np.empty(0))


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((640, 427), (640, 427)), ((400, 3), (400, 3)), ((5000, 2000), (2000, 800)), ((100, 60), (400, 240))],
)
def test_large_images_shrink_and_small_images_grow_by_an_integer(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    resized = resize_for_drawing(np.zeros((size[1], size[0], 3), np.uint8))
    assert (resized.shape[1], resized.shape[0]) == drawn


def test_image_without_boxes_is_unchanged(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (427, 641, 3)).astype(np.uint8)
    save_annotated_image(tmp_path / "image.png", pixels, NOTHING, [])
    np.testing.assert_array_equal(np.round(pixels_of(tmp_path / "image.png") * 255), pixels)


def test_box_is_drawn_in_place_in_color_of_its_class(tmp_path: Path) -> None:
    boxes = LabeledBoxes(np.array([[0.25, 0.5, 0.5, 0.25]]), np.array([2]), np.array([0.9]))
    for name in ("image.png", "image.jpg"):
        save_annotated_image(tmp_path / name, np.zeros((400, 800, 3), np.uint8), boxes, ["", "", "dog"])
        left, top, right, bottom = extent_in(pixels_of(tmp_path / name), class_color(2))
        assert (left, right, bottom) == pytest.approx((0.25, 0.75, 0.75), abs=0.005)
        assert 0.4 < top < 0.5  # the name is above the box
