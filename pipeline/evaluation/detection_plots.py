"""Pictures of detectors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.error_analysis import Report
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.detection import save_predictions
from pipeline.plots.panels import Bars, Lines, classes_panel, save_panels, sizes_panel
from pipeline.systems.interfaces import Arrays, Codec

MEASURES = {"precision": "precision", "recall": "recall", "F1": "f1"}
"""What is drawn over the cut-offs, by its name in the report."""


def write_task_pictures(
    folder: Path,
    model_inputs: NDArray[np.uint8],
    _outputs: Arrays,
    truth: Sequence[LabeledBoxes],
    predictions: Sequence[LabeledBoxes],
    _codec: Codec,
    names: Sequence[str],
) -> None:
    """`predictions.png`: every image, predictions in the colours of their classes over the true boxes."""
    save_predictions(folder / "predictions.png", model_inputs, truth, predictions, names)


def write_errors(folder: Path, report: Report) -> None:
    """`errors.png`: what each kind of error costs, precision, recall and F1 by cut-off, AP by size and class."""
    kinds, rows, best = report["kinds"], report["thresholds"], report["best_f1"]
    save_panels(
        folder / "errors.png",
        [
            Bars(
                "AP50 lost to each kind of error (number of errors)",
                [f"{row['kind']} ({row['errors']:,})" for row in kinds],
                [row["lost_AP50"] for row in kinds],
                to_largest=True,
            ),
            Lines(
                f"At IoU 0.5: best F1 {best['f1'] or 0:.3f} at {best['threshold']:.2f}",
                "cut-off of the score",
                [row["threshold"] for row in rows],
                {name: [row[key] for row in rows] for name, key in MEASURES.items()},
                marked=best["threshold"],
            ),
            sizes_panel(report["sizes"], "AP", "AP by size (boxes)"),
            classes_panel(report["classes"], "AP", "AP"),
        ],
    )


def write_worst(
    folder: Path,
    model_inputs: NDArray[np.uint8],
    truth: Sequence[LabeledBoxes],
    predictions: Sequence[LabeledBoxes],
    names: Sequence[str],
) -> None:
    """`worst.png`, drawn like `predictions.png`."""
    save_predictions(folder / "worst.png", model_inputs, truth, predictions, names)
