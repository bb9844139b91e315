"""What a detector answered: any number of boxes per image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.image_grid import draw_labeled_boxes, draw_truth, save, show_image, tiles


def save_predictions(
    path: Path,
    model_inputs: NDArray[np.uint8],
    truth: Sequence[LabeledBoxes],
    predictions: Sequence[LabeledBoxes],
    names: Sequence[str],
) -> None:
    """One tile per image: truth dashed in white, predictions above it in colour."""
    figure, axes = tiles(len(model_inputs), columns=min(4, len(model_inputs)))
    for ax, model_input, true, predicted in zip(axes, model_inputs, truth, predictions, strict=True):
        show_image(ax, model_input)
        draw_truth(ax, true)
        draw_labeled_boxes(ax, predicted, names)
    save(figure, path)
