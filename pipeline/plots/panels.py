"""Panels of numbers: bars with names, and lines over a score threshold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.plots.image_grid import DOTS_PER_INCH, save
from pipeline.plots.text import drawable

COLUMNS = 2
PANEL_INCHES = (4.4, 3.2)
BAR_COLOR = "#1f5fbf"
LINE_COLORS = ("#1f5fbf", "#e0701a", "#2c8a43")
MAX_CLASSES = 15
MAX_NAME_LENGTH = 24
MARGIN_INCHES = 0.08
LEGEND_POINTS = 12
"""Height of the legend between a panel and its title."""

MIN_ROWS = 5
"""A panel has space for at least this many bars: one bar alone would fill it."""


@dataclass(frozen=True)
class Bars:
    """Horizontal bars with their values at the end.

    Attributes:
        title: above the panel.
        names: of the bars, from top to bottom.
        values: 0 or more; None for a name without a bar.
        scale_to_max: whether the axis ends at the largest value instead of 1, to show values that are small.

    """

    title: str
    names: Sequence[str]
    values: Sequence[float | None]
    scale_to_max: bool = False


@dataclass(frozen=True)
class Lines:
    """Lines over a common horizontal axis from 0 to 1.

    Attributes:
        title: above the panel.
        x_label: name of the horizontal axis.
        x: positions on the horizontal axis, 0..1.
        values: by name of the line, one value in 0..1 per position; None is a gap.
        marked: a position with a dashed vertical line.

    """

    title: str
    x_label: str
    x: Sequence[float]
    values: Mapping[str, Sequence[float | None]]
    marked: float | None = None


def classes_panel(classes: Sequence[Mapping[str, Any]], score: str, score_name: str) -> Bars:
    """The scores of at most MAX_CLASSES classes, worst first; of equal scores the class with more boxes first.

    Args:
        classes: rows with `name`, `boxes` and the score, which is None for classes without boxes.
        score: key of the score.
        score_name: the score in the title.

    """
    scored = [row for row in classes if row[score] is not None]
    worst = sorted(scored, key=lambda row: (row[score], -row["boxes"]))[:MAX_CLASSES]
    which = f"the worst {len(worst)} of {len(scored)} classes" if len(worst) < len(scored) else "each class"
    names = [f"{truncate_name(drawable(row['name']))} ({row['boxes']:,})" for row in worst]
    return Bars(f"{score_name} of {which} (boxes)", names, [row[score] for row in worst])


def sizes_panel(sizes: Sequence[Mapping[str, Any]], score: str, title: str) -> Bars:
    """The score of each range of box sizes: rows with `size`, `boxes` and the score."""
    return Bars(title, [f"{row['size']} ({row['boxes']:,})" for row in sizes], [row[score] for row in sizes])


def truncate_name(name: str) -> str:
    """A name of at most MAX_NAME_LENGTH characters; a longer one ends in an ellipsis."""
    return name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…"


def save_panels(path: Path, panels: Sequence[Bars | Lines]) -> None:
    """Plot two panels per row."""
    rows = -(-len(panels) // COLUMNS)
    size = COLUMNS * PANEL_INCHES[0], rows * PANEL_INCHES[1]
    layout = ConstrainedLayoutEngine(w_pad=MARGIN_INCHES, h_pad=MARGIN_INCHES)
    figure = Figure(size, dpi=DOTS_PER_INCH, layout=layout)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel().tolist()
    for ax, panel in zip(axes, panels, strict=False):
        legend_points = 0 if isinstance(panel, Bars) else LEGEND_POINTS
        ax.set_title(panel.title, fontsize=9, pad=6 + legend_points, parse_math=False)
        ax.tick_params(labelsize=7)
        if isinstance(panel, Bars):
            _draw_bars(ax, panel)
        else:
            _draw_lines(ax, panel)
    for ax in axes[len(panels) :]:
        ax.axis("off")
    save(figure, path)


def _draw_bars(ax: Any, panel: Bars) -> None:
    positions = range(len(panel.names))
    lengths = [value or 0 for value in panel.values]
    axis_end = (max(lengths, default=0) if panel.scale_to_max else 1) or 1
    ax.barh(positions, lengths, color=BAR_COLOR, height=0.66)
    for position, value, length in zip(positions, panel.values, lengths, strict=True):
        text = "no boxes" if value is None else f"{value:.3f}"
        ax.text(length + 0.01 * axis_end, position, text, fontsize=7, va="center")
    ax.set_xlim(0, 1.13 * axis_end)  # space for the value of the longest bar
    ax.set_ylim(max(MIN_ROWS, len(panel.names)) - 0.4, -0.6)
    ax.set_yticks(positions, panel.names, parse_math=False)  # a class name may contain dollar signs
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_lines(ax: Any, panel: Lines) -> None:
    for (name, values), color in zip(panel.values.items(), LINE_COLORS, strict=False):
        numbers = [math.nan if value is None else value for value in values]
        ax.plot(panel.x, numbers, color=color, label=name, linewidth=1.4, marker="o", markersize=2.2)
    if panel.marked is not None:
        ax.axvline(panel.marked, color="black", linewidth=0.8, linestyle="--")
    ax.set(xlim=(0, 1), ylim=(0, 1.02))
    ax.set_xlabel(panel.x_label, fontsize=8)
    ax.grid(alpha=0.25)
    # Above the axes, since lines may pass through any corner inside.
    position = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "borderaxespad": 0.2, "frameon": False}
    ax.legend(fontsize=7, ncols=len(panel.values), **position)
