"""Curves of a training: one panel per quantity, what was trained on beside what was held out."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.plots.image_grid import DOTS_PER_INCH, save

COLUMNS = 3
PANEL_INCHES = (3.4, 2.5)
NO_QUANTITY = ("epoch", "phase")
HELD_OUT = "val_"
TRAINING_COLOR = "#1f5fbf"
HELD_OUT_COLOR = "#e0701a"


def save_curves(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One row per epoch, in order; epochs are counted from 1 over all phases.

    `loss` and `val_loss` share a panel, and so on for every other key but `epoch` and `phase`. Values are numbers,
    texts of numbers, or missing: absent, None, "" or NaN. Phases stand
    as numbers above every panel, a vertical line between them, and their names above all.
    """
    quantities = _quantities(rows)
    columns = max(1, min(COLUMNS, len(quantities)))
    lines = max(1, -(-len(quantities) // columns))
    figure = Figure((columns * PANEL_INCHES[0], lines * PANEL_INCHES[1]), dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    phases = _phases(rows)
    if len(phases) > 1:
        words = "     ".join(f"{number}: {name}" for number, (_, name) in enumerate(phases, 1))
        figure.suptitle(words, fontsize=8, parse_math=False)
    for ax, quantity in zip(axes, quantities, strict=False):
        _draw_panel(ax, rows, quantity)
        _draw_phases(ax, phases)
    for ax in axes[len(quantities) :]:
        ax.axis("off")
    save(figure, path)


def _quantities(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names without `val_`: the loss, its parts, then the rest, each in the order of first appearance."""
    names = dict.fromkeys(key.removeprefix(HELD_OUT) for row in rows for key in row if key not in NO_QUANTITY)
    return sorted(names, key=lambda name: (name != "loss", "loss" not in name))


def _draw_panel(ax: Any, rows: Sequence[Mapping[str, Any]], quantity: str) -> None:
    epochs = range(1, len(rows) + 1)
    for key, label, color in (
        (quantity, "training", TRAINING_COLOR),
        (HELD_OUT + quantity, "held out", HELD_OUT_COLOR),
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
