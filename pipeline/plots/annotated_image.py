"""A whole photograph with boxes, at its own resolution."""

from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.image_grid import POINTS_PER_INCH, draw_labeled_boxes, save, show_image

MAX_SIDE = 2000
"""Longest side of a picture in pixels; a larger photograph is shown smaller."""

LEGIBLE_SIDE = 400
"""A smaller photograph is enlarged by a whole factor, so that names can be read."""

DOTS_PER_INCH = 100


def fit_for_drawing(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [height, width, 3] as large as its picture will be."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest > MAX_SIDE:
        scale = MAX_SIDE / longest
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    factor = -(-LEGIBLE_SIDE // longest)
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def save_photograph(path: Path, pixels: NDArray[np.uint8], labeled_boxes: LabeledBoxes, names: list[str]) -> None:
    """uint8 [height, width, 3], pixel for pixel, with `labeled_boxes`; their boxes are fractions of width and height."""
    height, width = pixels.shape[:2]
    figure = Figure((width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.axis("off")
    show_image(ax, pixels)
    points_per_pixel = POINTS_PER_INCH / DOTS_PER_INCH
    longest = max(width, height)
    draw_labeled_boxes(
        ax,
        labeled_boxes,
        names,
        font_points=max(12, longest / 60) * points_per_pixel,
        line_points=max(2, longest / 350) * points_per_pixel,
    )
    save(figure, path)
