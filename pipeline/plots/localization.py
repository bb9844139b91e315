"""What a localizer answered: one box and one class per image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.image_grid import draw_boxes, save, show_image, tiles

TRUE_BOX_COLOR = "#ffd500"
PREDICTED_BOX_COLOR = "#00e03c"
OTHER_CLASS_COLOR = "#9aa5b1"
MISTAKE_COLOR = "#c00000"

GRID_COLUMNS = 3
GRID_IMAGES = 9
BARS = 5
"""How many of the most probable classes are shown."""

CAPTION_INCHES = 0.2
HEADER_INCHES = 0.26
CAPTION_POINTS = 7


def save_localizations(
    path: Path,
    model_inputs: NDArray[np.uint8],
    truth: Sequence[LabeledBoxes],
    predictions: Sequence[LabeledBoxes],
    names: Sequence[str],
) -> None:
    """Three tiles to a row: the true box yellow, the predicted one green, and class, score and IoU above each.

    An image has one true box or more, and at most one predicted box. A caption is red where the class is wrong.
    """
    figure, axes = tiles(len(model_inputs), min(GRID_COLUMNS, len(model_inputs)), CAPTION_INCHES, HEADER_INCHES)
    for ax, model_input, true, predicted in zip(axes, model_inputs, truth, predictions, strict=True):
        show_image(ax, model_input)
        draw_boxes(ax, true.boxes_rel_xywh, TRUE_BOX_COLOR)
        draw_boxes(ax, predicted.boxes_rel_xywh, PREDICTED_BOX_COLOR)
        right = len(predicted.labels) and predicted.labels[0] in true.labels
        _caption(ax, localization_caption(true, predicted, names), "black" if right else MISTAKE_COLOR)
    _legend(figure, {"true box": TRUE_BOX_COLOR, "predicted box": PREDICTED_BOX_COLOR})
    save(figure, path)


def localization_caption(true: LabeledBoxes, predicted: LabeledBoxes, names: Sequence[str]) -> str:
    """Predicted class and score, the true class where it is another one, and this image's IoU.

    With several true boxes the IoU is the mean over them, as in the scores.
    """
    true_name = " or ".join(dict.fromkeys(names[int(label)] for label in true.labels))
    if not len(predicted.labels):
        return f"no answer, true: {true_name}"
    assert predicted.scores is not None, "predictions have scores"
    answers = np.repeat(xywh_to_xyxy(predicted.boxes_rel_xywh), len(true.labels), axis=0)
    iou = paired_iou(xywh_to_xyxy(true.boxes_rel_xywh), answers).mean()
    mistake = "" if predicted.labels[0] in true.labels else f", true: {true_name}"
    return f"{names[int(predicted.labels[0])]} ({predicted.scores[0]:.2f}){mistake}, IoU {iou:.2f}"


def save_probabilities(
    path: Path,
    model_inputs: NDArray[np.uint8],
    true_labels: Sequence[int],
    probabilities: NDArray[np.floating[Any]],
    names: Sequence[str],
) -> None:
    """Each image beside the bars of its most probable classes; `probabilities` is [N, num_labels], each in 0..1.

    The bar of the true class is yellow. Its name and probability stand above, red where another class is surer.
    """
    columns = 2 * min(GRID_COLUMNS, len(model_inputs))
    figure, axes = tiles(2 * len(model_inputs), columns, CAPTION_INCHES, HEADER_INCHES)
    for index, (model_input, true_label) in enumerate(zip(model_inputs, true_labels, strict=True)):
        image_ax, bars_ax = axes[2 * index : 2 * index + 2]
        show_image(image_ax, model_input)
        _draw_bars(bars_ax, probabilities[index], true_label, names)
        right = probabilities[index].argmax() == true_label
        caption = f"true class: {names[true_label]} ({probabilities[index][true_label]:.2f})"
        _caption(image_ax, caption, "black" if right else MISTAKE_COLOR)
    _legend(figure, {"true class": TRUE_BOX_COLOR, "other classes": OTHER_CLASS_COLOR})
    save(figure, path)


def _draw_bars(ax: Any, probabilities: NDArray[np.floating[Any]], true_label: int, names: Sequence[str]) -> None:
    """The most probable classes from top to bottom, in the axes of one tile, drawn in fractions of it."""
    best = np.argsort(-probabilities, kind="stable")[:BARS]
    ax.set(xlim=(0, 1), ylim=(1, 0))
    room, bar_left, bar_width = 1 / BARS, 0.04, 0.78
    for position, label in enumerate(best):
        top, value = position * room, float(probabilities[label])
        color = TRUE_BOX_COLOR if label == true_label else OTHER_CLASS_COLOR
        ax.barh(top + 0.68 * room, bar_width * value, 0.4 * room, left=bar_left, color=color)
        ax.plot([bar_left, bar_left], [top + 0.48 * room, top + 0.88 * room], color="black", linewidth=0.6)
        weight = "bold" if label == true_label else "normal"
        words = {"fontsize": CAPTION_POINTS, "va": "center", "parse_math": False, "clip_on": True}
        ax.text(bar_left, top + 0.28 * room, names[int(label)], weight=weight, **words)
        ax.text(bar_left + bar_width * value + 0.02, top + 0.68 * room, f"{value:.2f}", **words)


def _caption(ax: Any, text: str, color: str) -> None:
    ax.set_title(text, fontsize=CAPTION_POINTS, color=color, pad=2.5, parse_math=False)


def _legend(figure: Figure, colors: dict[str, str]) -> None:
    """Names of colours in the figure's header."""
    patches = [Patch(facecolor=color, edgecolor="black", linewidth=0.4, label=name) for name, color in colors.items()]
    figure.legend(
        handles=patches, loc="upper center", ncols=len(patches), fontsize=CAPTION_POINTS, frameon=False, borderpad=0.2
    )
