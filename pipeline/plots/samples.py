"""A dataset as the network sees it: packed images with their true boxes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.image_grid import draw_labeled_boxes, save, show_image, tiles

COLUMNS = 3


def save_samples(
    path: Path, model_inputs: NDArray[np.uint8], truth: Sequence[LabeledBoxes], names: Sequence[str]
) -> None:
    """Three tiles to a row, uint8 [N, size, size, 1 or 3], with true boxes and class names in class colours."""
    figure, axes = tiles(len(model_inputs), columns=min(COLUMNS, len(model_inputs)))
    for ax, model_input, true in zip(axes, model_inputs, truth, strict=True):
        show_image(ax, model_input)
        draw_labeled_boxes(ax, true, names)
    save(figure, path)
