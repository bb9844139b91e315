"""What a detector answered: any number of boxes per image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import Marks
from pipeline.plots.image_grid import draw_marks, draw_truth, save, show_image, tiles


def save_predictions(
    path: Path, squares: NDArray[np.uint8], truth: Sequence[Marks], predictions: Sequence[Marks], names: Sequence[str]
) -> None:
    """One tile per image: truth dashed in white, predictions above it in colour."""
    figure, axes = tiles(len(squares), columns=min(4, len(squares)))
    for ax, square, true, predicted in zip(axes, squares, truth, predictions, strict=True):
        show_image(ax, square)
        draw_truth(ax, true)
        draw_marks(ax, predicted, names)
    save(figure, path)
