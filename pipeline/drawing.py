"""Pictures: images with true and predicted boxes, class names and scores.

Figures are built without pyplot, so nothing is shared between two pictures and no display is needed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pipeline.colors import class_color
from pipeline.geometry.marks import Marks
from pipeline.storage.files import whole_file

TRUTH_COLOR = "white"
TILE_INCHES = 2.4
DOTS_PER_INCH = 110


def tiles(count: int, columns: int) -> tuple[Figure, list[Any]]:
    """A figure with `count` square axes, `columns` to a row."""
    rows = -(-count // columns)
    figure = Figure((columns * TILE_INCHES, rows * TILE_INCHES), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for ax in axes:
        ax.axis("off")
    return figure, axes[:count]


def show_image(ax: Any, square: NDArray[np.uint8]) -> None:
    """Draw uint8 [size, size, 1 or 3] with its corners at (0, 0) and (1, 1), so that rel boxes fit as they are."""
    pixels = square[..., 0] if square.shape[-1] == 1 else square
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0), interpolation="nearest")
    ax.set(xlim=(0, 1), ylim=(1, 0))


def draw_truth(ax: Any, truth: Marks) -> None:
    """True boxes, thin and white."""
    for x, y, width, height in truth.boxes_rel_xywh:
        ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=TRUTH_COLOR, linewidth=1, linestyle="--"))


def draw_predictions(ax: Any, predictions: Marks, names: Sequence[str]) -> None:
    """Predicted boxes in the colour of their class, with its name and the score."""
    assert predictions.scores is not None, "predictions have scores"
    for (x, y, width, height), label, score in zip(
        predictions.boxes_rel_xywh, predictions.labels, predictions.scores, strict=True
    ):
        color = class_color(int(label))
        ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=1.6))
        ax.text(
            min(max(x, 0), 1),
            min(max(y, 0.04), 1),
            f"{names[label]} {score:.2f}",
            color="black",
            fontsize=6,
            va="bottom",
            clip_on=True,
            bbox={"facecolor": color, "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
        )


def save(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    with whole_file(path) as partial:
        figure.savefig(partial)


def save_predictions(
    path: Path, squares: NDArray[np.uint8], truth: Sequence[Marks], predictions: Sequence[Marks], names: Sequence[str]
) -> None:
    """One tile per image: truth dashed in white, predictions above it in colour."""
    figure, axes = tiles(len(squares), columns=min(4, len(squares)))
    for ax, square, true, predicted in zip(axes, squares, truth, predictions, strict=True):
        show_image(ax, square)
        draw_truth(ax, true)
        draw_predictions(ax, predicted, names)
    save(figure, path)
