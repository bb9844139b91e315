"""Numbers of an evaluation as small panels: bars with names, and lines over a cut-off."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.plots.image_grid import DOTS_PER_INCH, save

COLUMNS = 2
PANEL_INCHES = (4.4, 3.2)
BAR_COLOR = "#1f5fbf"
LINE_COLORS = ("#1f5fbf", "#e0701a", "#2c8a43")
MAX_CLASSES = 15
MAX_NAME_LETTERS = 24
MARGIN_INCHES = 0.08
LEGEND_POINTS = 12
"""Height of the line between a panel and its title that names its lines."""

MIN_ROWS = 5
"""A panel has room for so many bars, so that one alone is no block."""


@dataclass(frozen=True)
class Bars:
    """A bar for each name, from top to bottom, with its value at its end; None is a name without a bar.

    The axis goes from 0 to 1, or `to_largest` value, where differences matter that are small beside 1.
    """

    title: str
    names: Sequence[str]
    values: Sequence[float | None]
    to_largest: bool = False


@dataclass(frozen=True)
class Lines:
    """Lines of values in 0..1 over the same places on the horizontal axis; None is a gap. `marked` is a place."""

    title: str
    x_label: str
    x: Sequence[float]
    values: Mapping[str, Sequence[float | None]]
    marked: float | None = None


def classes_panel(classes: Sequence[Mapping[str, Any]], score: str, words: str) -> Bars:
    """The score of the worst MAX_CLASSES that have boxes, the worst first; of equals the one with more boxes."""
    known = [row for row in classes if row[score] is not None]
    shown = sorted(known, key=lambda row: (row[score], -row["boxes"]))[:MAX_CLASSES]
    which = f"the worst {len(shown)} of {len(known)} classes" if len(shown) < len(known) else "each class"
    names = [f"{_shortened(row['name'])} ({row['boxes']:,})" for row in shown]
    return Bars(f"{words} of {which} (boxes)", names, [row[score] for row in shown])


def sizes_panel(sizes: Sequence[Mapping[str, Any]], score: str, title: str) -> Bars:
    """The score of each size of boxes."""
    return Bars(title, [f"{row['size']} ({row['boxes']:,})" for row in sizes], [row[score] for row in sizes])


def save_panels(path: Path, panels: Sequence[Bars | Lines]) -> None:
    """Two panels to a row."""
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
    places = range(len(panel.names))
    lengths = [value or 0 for value in panel.values]
    ends = (max(lengths, default=0) if panel.to_largest else 1) or 1
    ax.barh(places, lengths, color=BAR_COLOR, height=0.66)
    for place, value, length in zip(places, panel.values, lengths, strict=True):
        text = "no boxes" if value is None else f"{value:.3f}"
        ax.text(length + 0.01 * ends, place, text, fontsize=7, va="center")
    ax.set_xlim(0, 1.13 * ends)  # room for the value of the longest bar
    ax.set_ylim(max(MIN_ROWS, len(panel.names)) - 0.4, -0.6)
    ax.set_yticks(places, panel.names, parse_math=False)  # a class name with a dollar sign is no formula
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
    # Above the axes, since no corner inside is free of lines for sure.
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "borderaxespad": 0.2, "frameon": False}
    ax.legend(fontsize=7, ncols=len(panel.values), **place)


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME_LETTERS else name[: MAX_NAME_LETTERS - 1] + "…"
