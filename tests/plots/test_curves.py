"""Training curves, checked by the positions of their colors."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.plots.curves import PANEL_INCHES, TRAINING_COLOR, VALIDATION_COLOR, save_curves, write_curve_tables
from pipeline.plots.image_grid import DOTS_PER_INCH
from tests.support.drawn_pixels import pixels_of, shows

PANEL_WIDTH, PANEL_HEIGHT = (round(inches * DOTS_PER_INCH) for inches in PANEL_INCHES)


def columns_with(pixels: np.ndarray, color: str) -> np.ndarray:
    """The columns that contain the color in the lower half, below the legend."""
    lower = pixels[len(pixels) // 2 :]
    near = np.abs(lower - [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]).max(axis=2) < 0.1
    return np.flatnonzero(near.any(axis=0))


def test_there_is_one_panel_per_quantity(tmp_path: Path) -> None:
    rows = [{"epoch": e, "loss": 1, "val_loss": 2, "box_loss": 3, "accuracy": 0.5, "val_mean_iou": 0.2} for e in (0, 1)]
    save_curves(tmp_path / "curves.png", rows)
    pixels = pixels_of(tmp_path / "curves.png")
    assert pixels.shape[:2] == (2 * PANEL_HEIGHT, 3 * PANEL_WIDTH)  # loss, box loss, accuracy / mean IoU
    last = pixels[PANEL_HEIGHT:, :PANEL_WIDTH]
    assert shows(last, VALIDATION_COLOR)
    assert not shows(last, TRAINING_COLOR)
    assert (pixels[PANEL_HEIGHT:, PANEL_WIDTH + 40 :] == 1).all()


def test_accuracy_has_an_axis_from_zero_to_one(tmp_path: Path) -> None:
    """Lines at 0.1 and 0.3; the black frame marks 0 and 1."""
    save_curves(tmp_path / "curves.png", [{"accuracy": 0.3, "val_accuracy": 0.1}] * 4)
    pixels = pixels_of(tmp_path / "curves.png")
    dark_rows = np.flatnonzero((pixels.max(axis=2) < 0.2).mean(axis=1) > 0.5)
    top, bottom = dark_rows[0], dark_rows[-1]
    for color, value in ((TRAINING_COLOR, 0.3), (VALIDATION_COLOR, 0.1)):
        near = np.abs(pixels - [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]).max(axis=2) < 0.1
        row = near.sum(axis=1).argmax()
        assert (bottom - row) / (bottom - top) == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize("missing", [None, "", float("nan"), "nan"])
def test_missing_value_is_a_gap(tmp_path: Path, missing: object) -> None:
    rows: list[dict[str, object]] = [{"accuracy": "0.2"} for _ in range(9)]
    save_curves(tmp_path / "whole.png", rows)
    rows[3] = rows[4] = rows[5] = {"accuracy": missing}
    save_curves(tmp_path / "gap.png", rows)
    whole, gap = (columns_with(pixels_of(tmp_path / f"{name}.png"), TRAINING_COLOR) for name in ("whole", "gap"))
    assert np.diff(whole).max() == 1
    assert np.diff(gap).max() == pytest.approx(4 / 8 * np.ptp(whole), abs=8)  # the markers have a width


def test_new_phase_is_marked_by_a_vertical_line(tmp_path: Path) -> None:
    rows = [{"loss": 1.0, "phase": "heads"}] * 3 + [{"loss": 1.0, "phase": "all"}] * 5
    save_curves(tmp_path / "phases.png", rows)
    save_curves(tmp_path / "plain.png", [{"loss": 1.0}] * 8)
    pixels = pixels_of(tmp_path / "phases.png")
    dark = (pixels.max(axis=2) < 0.2).mean(axis=0)
    left, line, right = (group[0] for group in np.split(*grouped(np.flatnonzero(dark > 0.25))))
    assert (line - left) / (right - left) == pytest.approx(3 / 8, abs=0.02)
    plain = (pixels_of(tmp_path / "plain.png").max(axis=2) < 0.2).mean(axis=0)
    assert len(np.split(*grouped(np.flatnonzero(plain > 0.25)))) == 2  # only the frame


def grouped(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns, and the indices at which they are not contiguous."""
    return columns, np.flatnonzero(np.diff(columns) > 1) + 1


def test_history_without_rows_or_quantities_is_plotted_empty(tmp_path: Path) -> None:
    save_curves(tmp_path / "none.png", [])
    save_curves(tmp_path / "epochs.png", [{"epoch": 0}])
    assert (pixels_of(tmp_path / "none.png") == 1).all()


def test_tables_hold_one_quantity_each_with_gaps_left_out(tmp_path: Path) -> None:
    rows = [
        {"epoch": "1", "phase": "heads", "loss": "0.5", "val_loss": "0.75", "mean_iou": ""},
        {"epoch": "2", "phase": "all", "loss": 0.0, "mean_iou": "0.25"},
        {"epoch": "3", "phase": "all", "loss": "0.125", "val_loss": "", "mean_iou": None},
    ]
    write_curve_tables(tmp_path, rows)
    assert {path.name: path.read_text().splitlines() for path in tmp_path.iterdir()} == {
        "loss.csv": ["epoch,training,validation", "1,0.5,0.75", "2,0.0,", "3,0.125,"],
        "mean_iou.csv": ["epoch,training,validation", "2,0.25,"],
    }
