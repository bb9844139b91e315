"""Images with the predictions of localizers: one box and one class per image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.image_grid import (
    CAPTION_INCHES,
    TITLE_POINTS,
    PredictedImages,
    draw_boxes,
    save,
    show_image_in_tile,
    tiles,
)
from pipeline.plots.panels import truncate_name
from pipeline.plots.text import drawable, title_of

TRUE_BOX_COLOR = "#ffd500"
PREDICTED_BOX_COLOR = "#00e03c"
OTHER_CLASS_COLOR = "#9aa5b1"
WRONG_CLASS_COLOR = "#c00000"

GRID_COLUMNS = 3
MAX_BARS = 20
"""With more classes, only the most probable ones are shown: more bars would make their names illegible."""

MIN_BARS = 10
"""There is space for at least this many bars: a few would be very thick."""

HEADER_INCHES = 0.26
BAR_POINTS = 5.5

BAR_LEFT = 0.46
BAR_WIDTH = 0.42
"""Start of the bars, and length of the bar of probability 1, as fractions of the width: names are left of them."""


def save_localizations(path: Path, images: PredictedImages) -> None:
    """Plot three images per row: true boxes in yellow, the predicted box in green; title, class, score and IoU above.

    Captions are red if the predicted class is wrong.

    Args:
        path: the file to write.
        images: each with at most one predicted box.

    """
    columns = min(GRID_COLUMNS, len(images))
    figure, axes = tiles(len(images), columns, 2 * CAPTION_INCHES, HEADER_INCHES, images.largest_side)
    for ax, pixels, title, true, predicted in zip(
        axes, images.pixels, images.titles, images.ground_truth, images.predictions, strict=True
    ):
        show_image_in_tile(ax, pixels)
        draw_boxes(ax, true.boxes_rel_xywh, TRUE_BOX_COLOR)
        draw_boxes(ax, predicted.boxes_rel_xywh, PREDICTED_BOX_COLOR)
        is_correct = len(predicted) > 0 and predicted.labels[0] in true.labels
        caption = f"{title_of(title)}\n{localization_caption(true, predicted, images.names)}"
        _draw_caption(ax, caption, is_correct=is_correct)
    _draw_legend(figure, {"true box": TRUE_BOX_COLOR, "predicted box": PREDICTED_BOX_COLOR})
    save(figure, path)


def localization_caption(true: LabeledBoxes, predicted: LabeledBoxes, names: Sequence[str]) -> str:
    """Predicted class and score, the true class if it differs, and the IoU of the image.

    If there are several true boxes, the IoU is the mean over them, as in the scores.
    """
    names = [drawable(name) for name in names]
    true_name = " or ".join(dict.fromkeys(names[int(label)] for label in true.labels)) or "no box"
    if not len(predicted):
        return f"no prediction, true: {true_name}"
    assert predicted.scores is not None, "predictions have scores"
    predicted_name = f"{names[int(predicted.labels[0])]} ({predicted.scores[0]:.2f})"
    if not len(true):
        return f"{predicted_name}, true: {true_name}"
    predicted_xyxy = np.repeat(xywh_to_xyxy(predicted.boxes_rel_xywh), len(true), axis=0)
    iou = paired_iou(xywh_to_xyxy(true.boxes_rel_xywh), predicted_xyxy).mean()
    correction = "" if predicted.labels[0] in true.labels else f", true: {true_name}"
    return f"{predicted_name}{correction}, IoU {iou:.2f}"


def save_probabilities(
    path: Path,
    pixels: Sequence[NDArray[np.uint8]],
    true_labels: Sequence[int],
    probabilities: NDArray[np.floating[Any]],
    names: Sequence[str],
) -> None:
    """Plot each image next to the probabilities of all classes, or of the MAX_BARS most probable ones, as bars.

    The bars are sorted by probability, and that of the true class is yellow. The caption with its probability is red
    if another class is more probable.

    Args:
        path: the file to write.
        pixels: uint8 [height, width, 1 or 3] of each image.
        true_labels: the true class of each image.
        probabilities: [N, num_labels], each in 0..1.
        names: the name of each label.

    """
    names = [drawable(name) for name in names]
    figure, axes = tiles(2 * len(pixels), 2 * min(GRID_COLUMNS, len(pixels)), CAPTION_INCHES, HEADER_INCHES)
    for index, (image, true_label) in enumerate(zip(pixels, true_labels, strict=True)):
        image_ax, bars_ax = axes[2 * index : 2 * index + 2]
        show_image_in_tile(image_ax, image)
        _draw_bars(bars_ax, probabilities[index], true_label, names)
        caption = f"true class: {names[true_label]} ({probabilities[index][true_label]:.2f})"
        _draw_caption(image_ax, caption, is_correct=bool(probabilities[index].argmax() == true_label))
    _draw_legend(figure, {"true class": TRUE_BOX_COLOR, "other classes": OTHER_CLASS_COLOR})
    save(figure, path)


def _draw_bars(ax: Any, probabilities: NDArray[np.floating[Any]], true_label: int, names: Sequence[str]) -> None:
    """Draw the most probable classes from top to bottom, each in one row: name, bar, probability."""
    best = np.argsort(-probabilities, kind="stable")[:MAX_BARS]
    if len(best) < len(probabilities):
        _draw_caption(ax, f"the {len(best)} most probable of {len(probabilities)} classes", is_correct=True)
    ax.set(xlim=(0, 1), ylim=(1, 0))
    row_height = 1 / max(MIN_BARS, len(best))
    style = {"fontsize": BAR_POINTS, "va": "center_baseline", "parse_math": False, "clip_on": True}
    for row, label in enumerate(best):
        middle, value = (row + 0.5) * row_height, float(probabilities[label])
        color = TRUE_BOX_COLOR if label == true_label else OTHER_CLASS_COLOR
        weight = "bold" if label == true_label else "normal"
        ax.text(BAR_LEFT - 0.015, middle, truncate_name(names[int(label)]), ha="right", weight=weight, **style)
        ax.barh(middle, BAR_WIDTH * value, 0.7 * row_height, left=BAR_LEFT, color=color)
        ax.text(BAR_LEFT + BAR_WIDTH * value + 0.015, middle, f"{value:.2f}", **style)
    ax.plot([BAR_LEFT, BAR_LEFT], [0, len(best) * row_height], color="black", linewidth=0.6)


def _draw_caption(ax: Any, text: str, *, is_correct: bool) -> None:
    color = "black" if is_correct else WRONG_CLASS_COLOR
    ax.set_title(text, fontsize=TITLE_POINTS, color=color, pad=2.5, parse_math=False)


def _draw_legend(figure: Figure, colors: dict[str, str]) -> None:
    patches = [Patch(facecolor=color, edgecolor="black", linewidth=0.4, label=name) for name, color in colors.items()]
    figure.legend(
        handles=patches, loc="upper center", ncols=len(patches), fontsize=TITLE_POINTS, frameon=False, borderpad=0.2
    )
