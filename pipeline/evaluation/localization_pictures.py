"""Pictures of localizers: one box per image, and how sure the class is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.drawing.localization import GRID_IMAGES, save_localizations, save_probabilities
from pipeline.geometry.marks import Marks
from pipeline.systems.verbs import Arrays, Codec, class_probabilities


def write_task_pictures(
    folder: Path,
    squares: NDArray[np.uint8],
    outputs: Arrays,
    truth: Sequence[Marks],
    predictions: Sequence[Marks],
    codec: Codec,
    names: Sequence[str],
) -> None:
    """`predictions.png`: the first nine images in a grid, true and predicted box, class, score and IoU.

    `probabilities.png`, where the codec has class probabilities: the same images beside the most probable classes.
    """
    first = slice(GRID_IMAGES)
    save_localizations(folder / "predictions.png", squares[first], truth[first], predictions[first], names)
    probabilities = class_probabilities(codec)
    if probabilities is not None:
        true_labels = [int(marks.labels[0]) for marks in truth[first]]
        save_probabilities(
            folder / "probabilities.png", squares[first], true_labels, probabilities(outputs)[first], names
        )
