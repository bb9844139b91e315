"""One image with boxes, at its own resolution."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.image_grid import POINTS_PER_INCH, draw_labeled_boxes, save, show_image, shrink

MAX_SIDE = 2000
"""Longest side of an annotated image in pixels; larger images are reduced."""

MIN_SIDE = 400
"""Smallest length of the longest side in pixels; smaller ones are enlarged by an integer for legible names."""

DOTS_PER_INCH = 100


def resize_for_drawing(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize uint8 [height, width, 3] to the size of its annotated image."""
    factor = -(-MIN_SIDE // max(pixels.shape[:2]))
    return shrink(pixels, MAX_SIDE).repeat(factor, axis=0).repeat(factor, axis=1)


def save_annotated_image(path: Path, pixels: NDArray[np.uint8], boxes: LabeledBoxes, names: list[str]) -> None:
    """Write an image with boxes, pixel for pixel.

    Args:
        path: the file to write, PNG or JPEG.
        pixels: uint8 [height, width, 3], RGB.
        boxes: relative to the image, with or without scores.
        names: the name of each label.

    """
    height, width = pixels.shape[:2]
    figure = Figure((width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.axis("off")
    show_image(ax, pixels)
    points_per_pixel = POINTS_PER_INCH / DOTS_PER_INCH
    longest = max(width, height)
    draw_labeled_boxes(
        ax,
        boxes,
        names,
        font_points=max(12, longest / 60) * points_per_pixel,
        line_points=max(2, longest / 350) * points_per_pixel,
    )
    save(figure, path)
