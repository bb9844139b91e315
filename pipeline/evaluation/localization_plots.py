"""Pictures of localizers: one box per image, and how sure the class is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.error_analysis import Report
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.plots.localization import GRID_IMAGES, save_localizations, save_probabilities
from pipeline.plots.panels import Bars, Lines, classes_panel, save_panels, sizes_panel
from pipeline.systems.interfaces import Arrays, Codec, class_probabilities

MEASURES = {"accuracy": "accuracy", "mean IoU": "mean_iou", "answered": "answered"}
"""What is drawn over the cut-offs, by its name in the report."""


def write_task_pictures(
    folder: Path,
    model_inputs: NDArray[np.uint8],
    outputs: Arrays,
    truth: Sequence[LabeledBoxes],
    predictions: Sequence[LabeledBoxes],
    codec: Codec,
    names: Sequence[str],
) -> None:
    """`predictions.png`: the first nine images in a grid, true and predicted box, class, score and IoU.

    `probabilities.png`, where the codec has class probabilities: the same images beside the most probable classes.
    """
    first = slice(GRID_IMAGES)
    save_localizations(folder / "predictions.png", model_inputs[first], truth[first], predictions[first], names)
    probabilities = class_probabilities(codec)
    if probabilities is not None:
        true_labels = [int(labeled_boxes.labels[0]) for labeled_boxes in truth[first]]
        save_probabilities(
            folder / "probabilities.png", model_inputs[first], true_labels, probabilities(outputs)[first], names
        )


def write_errors(folder: Path, report: Report) -> None:
    """`errors.png`: what is right and wrong, accuracy and IoU above cut-offs, mean IoU by size and class."""
    kinds, rows = report["kinds"], report["thresholds"]
    save_panels(
        folder / "errors.png",
        [
            Bars("Answers to all boxes, as shares", [row["kind"] for row in kinds], [row["share"] for row in kinds]),
            Lines(
                "Answers above a cut-off",
                "cut-off of the score",
                [row["threshold"] for row in rows],
                {name: [row[key] for row in rows] for name, key in MEASURES.items()},
            ),
            sizes_panel(report["sizes"], "mean_iou", "Mean IoU by share of the image (boxes)"),
            classes_panel(report["classes"], "mean_iou", "Mean IoU"),
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
    save_localizations(folder / "worst.png", model_inputs, truth, predictions, names)
