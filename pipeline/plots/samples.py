"""A dataset as the network sees it: packed images with their true boxes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import Marks
from pipeline.plots.image_grid import draw_marks, save, show_image, tiles

COLUMNS = 3


def save_samples(path: Path, squares: NDArray[np.uint8], truth: Sequence[Marks], names: Sequence[str]) -> None:
    """Three tiles to a row, uint8 [N, size, size, 1 or 3], with true boxes and class names in class colours."""
    figure, axes = tiles(len(squares), columns=min(COLUMNS, len(squares)))
    for ax, square, true in zip(axes, squares, truth, strict=True):
        show_image(ax, square)
        draw_marks(ax, true, names)
    save(figure, path)
