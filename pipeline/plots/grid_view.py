"""The grid view: the class and the boxes that each cell predicts, and the class map of the targets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.colors import class_color
from pipeline.plots.image_grid import draw_ground_truth, draw_labeled_boxes, save, show_image, tiles
from pipeline.plots.text import drawable

NUM_IMAGES = 4
CAPTION_INCHES = 0.2
IGNORED_CELL = (0.5, 0.5, 0.5, 0.6)
"""RGBA of a cell without a loss."""


def write_grid_view(
    folder: Path,
    model_inputs: NDArray[np.uint8],
    outputs: Mapping[str, NDArray[Any]],
    ground_truth: Sequence[LabeledBoxes],
    predictions: Sequence[LabeledBoxes],
    names: Sequence[str],
    score_threshold: float,
) -> None:
    """Write grid.png: for each image the classes of the cells, the boxes above the threshold, and every box.

    Args:
        folder: receives the file.
        model_inputs: uint8 [B, size, size, channels]; the first NUM_IMAGES are plotted.
        outputs: the model's outputs for the batch.
        ground_truth: the boxes of each image.
        predictions: the decoded boxes of each image.
        names: the name of each label.
        score_threshold: the threshold of the second column.

    """
    num_images = min(NUM_IMAGES, len(model_inputs))
    figure, axes = tiles(3 * num_images, columns=3, caption_inches=CAPTION_INCHES)
    for index in range(num_images):
        class_map, above, every = axes[3 * index : 3 * index + 3]
        for ax in (class_map, above, every):
            show_image(ax, model_inputs[index])
            draw_ground_truth(ax, ground_truth[index])
        _draw_class_map(class_map, outputs["class"][index].argmax(axis=-1), names)
        draw_labeled_boxes(above, predictions[index].above(score_threshold), names)
        draw_labeled_boxes(every, predictions[index], names)
        class_map.set_title("class of each cell", fontsize=7, pad=2.5)
        above.set_title(f"boxes with score >= {score_threshold:g}", fontsize=7, pad=2.5)
        every.set_title("every box", fontsize=7, pad=2.5)
    save(figure, folder / "grid.png")


def draw_target_classes(ax: Any, targets: Mapping[str, NDArray[Any]], names: Sequence[str]) -> None:
    """Draw the class map of the targets of one image, `class` int [S, S], with ignored cells in gray."""
    _draw_class_map(ax, targets["class"], names)


def _draw_class_map(ax: Any, labels: NDArray[np.int64], names: Sequence[str]) -> None:
    """Draw labels, int [S, S], as tinted cells with class names; background cells stay clear, negative ones gray."""
    size = len(labels)
    tint = np.zeros((size, size, 4))
    for (row, column), label in np.ndenumerate(labels):
        if label:
            tint[row, column] = (*class_color(int(label)), 0.45) if label > 0 else IGNORED_CELL
            center = ((column + 0.5) / size, (row + 0.5) / size)
            name = drawable(names[int(label)]) if label > 0 else "ignored"
            name = name.replace(" ", "\n")  # a cell is too narrow for two words side by side
            ax.text(*center, name, ha="center", va="center", fontsize=5, color="white", parse_math=False)
    ax.imshow(tint, extent=(0, 1, 1, 0), interpolation="nearest", aspect="auto")
    ax.set(xlim=(0, 1), ylim=(1, 0))
    ticks = np.arange(1, size) / size
    ax.vlines(ticks, 0, 1, color="white", linewidth=0.3)
    ax.hlines(ticks, 0, 1, color="white", linewidth=0.3)
