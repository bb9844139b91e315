"""Training curves: one panel per quantity, with a curve for the training images and one for the validation images."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.plots.image_grid import DOTS_PER_INCH, save

COLUMNS = 3
PANEL_INCHES = (3.4, 2.5)
NOT_A_QUANTITY = ("epoch", "phase")
VALIDATION_PREFIX = "val_"
TRAINING_COLOR = "#1f5fbf"
VALIDATION_COLOR = "#e0701a"


def save_curves(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Plot the history of a training.

    `loss` and `val_loss` share a panel, and so do all other pairs of keys. If there are several phases, their numbers
    are above every panel, with a vertical line between them, and their names above all panels.

    Args:
        path: the file to write.
        rows: one per epoch, in order; the epochs of all phases are numbered from 1. Every key except `epoch` and
            `phase` is a quantity. Values are numbers, text of numbers, or missing: absent, None, "" or NaN.

    """
    quantities = _quantities(rows)
    grid_columns = max(1, min(COLUMNS, len(quantities)))
    grid_rows = max(1, -(-len(quantities) // grid_columns))
    size = grid_columns * PANEL_INCHES[0], grid_rows * PANEL_INCHES[1]
    figure = Figure(size, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(grid_rows, grid_columns, squeeze=False).ravel().tolist()
    phases = _phases(rows)
    if len(phases) > 1:
        title = "     ".join(f"{number}: {name}" for number, (_, name) in enumerate(phases, 1))
        figure.suptitle(title, fontsize=8, parse_math=False)
    for ax, quantity in zip(axes, quantities, strict=False):
        _draw_panel(ax, rows, quantity)
        _draw_phases(ax, phases)
    for ax in axes[len(quantities) :]:
        ax.axis("off")
    save(figure, path)


def write_curve_tables(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one CSV file per quantity, with the columns epoch, training and validation, for `dvc plots`.

    Args:
        folder: an existing folder.
        rows: as for `save_curves`. Epochs in which a quantity has no value are left out of its file.

    """
    for quantity in _quantities(rows):
        with (folder / f"{quantity}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", "training", "validation"])
            for epoch, row in enumerate(rows, 1):
                values = [_number(row.get(key)) for key in (quantity, VALIDATION_PREFIX + quantity)]
                if not all(map(math.isnan, values)):
                    writer.writerow([epoch, *("" if math.isnan(value) else value for value in values)])


def _quantities(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names without `val_`: the loss, its parts, then the rest, each in the order of first appearance."""
    keys = (key for row in rows for key in row if key not in NOT_A_QUANTITY)
    names = dict.fromkeys(key.removeprefix(VALIDATION_PREFIX) for key in keys)
    return sorted(names, key=lambda name: (name != "loss", "loss" not in name))


def _draw_panel(ax: Any, rows: Sequence[Mapping[str, Any]], quantity: str) -> None:
    epochs = range(1, len(rows) + 1)
    for key, label, color in (
        (quantity, "training", TRAINING_COLOR),
        (VALIDATION_PREFIX + quantity, "validation", VALIDATION_COLOR),
    ):
        values = [_number(row.get(key)) for row in rows]
        if any(math.isfinite(value) for value in values):
            ax.plot(epochs, values, color=color, label=label, linewidth=1.4, marker="o", markersize=2.2)
    if "accuracy" in quantity or "iou" in quantity:
        ax.set_ylim(0, 1)
    ax.set_title(quantity.replace("_", " ").replace("iou", "IoU"), fontsize=9, pad=13, parse_math=False)
    ax.set_xlabel("epoch", fontsize=8)
    ax.set_xlim(0.5, len(rows) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.tick_params(labelsize=7)
    ax.grid(alpha=0.25)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=7, framealpha=0.8)


def _phases(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """The first epoch, counted from 1, and the name of each phase."""
    names = [row.get("phase") for row in rows]
    starts = [index for index, name in enumerate(names) if index == 0 or name != names[index - 1]]
    return [(index + 1, str(names[index] or "")) for index in starts]


def _draw_phases(ax: Any, phases: Sequence[tuple[int, str]]) -> None:
    """The number of each phase above its first epoch, and a dashed line before each but the first."""
    if len(phases) < 2:
        return
    for number, (first_epoch, _) in enumerate(phases, 1):
        if number > 1:
            ax.axvline(first_epoch - 0.5, color="black", linewidth=0.8, linestyle="--")
        ax.text(first_epoch - 0.5, 1.01, f" {number}", transform=ax.get_xaxis_transform(), fontsize=7, va="bottom")


def _number(value: Any) -> float:
    return math.nan if value is None or value == "" else float(value)
