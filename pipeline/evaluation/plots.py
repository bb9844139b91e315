"""The fixed set of pictures that evaluation draws for every system.

What is drawn for a kind of task stands in `detection_pictures.py` and `localization_pictures.py`, apart from the
scores: scores are also worked out before training, where nothing is drawn.
"""

import csv
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import keras
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables, boxes_by_image, boxes_xywh_of, without_crowds
from pipeline.evaluation.config import EvaluateConfig
from pipeline.evaluation.error_analysis import Analysis, Report
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.packing.shards import Shards, evenly_spaced
from pipeline.plots.curves import save_curves
from pipeline.systems.interfaces import Arrays, Codec, write_views
from pipeline.systems.labels import Labels


class TaskPictures(Protocol):
    """pipeline/evaluation/detection_plots.py and localization_pictures.py"""

    def write_task_pictures(
        self,
        folder: Path,
        model_inputs: NDArray[np.uint8],
        outputs: Arrays,
        truth: Sequence[LabeledBoxes],
        predictions: Sequence[LabeledBoxes],
        codec: Codec,
        names: Sequence[str],
    ) -> None:
        """Pictures of one batch, its outputs, true boxes and the boxes to show; one mark per image and box."""

    def write_errors(self, folder: Path, report: Report) -> None:
        """What the task's `analyze_errors` reports, as `errors.png`."""

    def write_worst(
        self,
        folder: Path,
        model_inputs: NDArray[np.uint8],
        truth: Sequence[LabeledBoxes],
        predictions: Sequence[LabeledBoxes],
        names: Sequence[str],
    ) -> None:
        """Images with true boxes and the boxes to show, as `worst.png`."""


def task_pictures(name: str) -> TaskPictures:
    """The pictures of that task, which `scores.task` has checked."""
    return cast(TaskPictures, importlib.import_module(f"pipeline.evaluation.{name}_pictures"))


def write_curves(folder: Path, curves: Path) -> None:
    """`curves.png` from the CSV of a training; nothing where no epoch was trained."""
    with curves.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows:
        save_curves(folder / "curves.png", rows)


def write_pictures(
    folder: Path,
    module: str,
    task: str,
    section: EvaluateConfig,
    model: keras.Model,
    images: Shards,
    truth: Tables,
    transforms: Mapping[int, ResizeTransform],
    codec: Codec,
    labels: Labels,
) -> None:
    """The task's pictures of boxes above the threshold, and the views that the system brings itself.

    Crowd regions are left out of the true boxes: no score asks about them.
    """
    image_ids = evenly_spaced(np.sort(truth.images["image_id"].to_numpy()), section.pictures)
    model_inputs = images.take("image", images.rows_of(image_ids))
    outputs = {name: np.asarray(values) for name, values in model.predict_on_batch(model_inputs).items()}
    found = labels.known(codec.decode(outputs)).by_image(len(image_ids))
    true = _true_marks(truth, image_ids, transforms, labels)
    above = [labeled_boxes.above(section.score_threshold) for labeled_boxes in found]
    task_pictures(task).write_task_pictures(folder, model_inputs, outputs, true, above, codec, labels.names)
    views = write_views(module)
    if views is not None:
        views(folder, model_inputs, outputs, true, found, labels.names, section.score_threshold)


def write_error_pictures(
    folder: Path,
    task: str,
    analysis: Analysis,
    detections: pa.Table,
    images: Shards,
    truth: Tables,
    transforms: Mapping[int, ResizeTransform],
    labels: Labels,
) -> None:
    """`errors.png`, and `worst.png`: the worst images with the boxes that the analysis took notice of."""
    image_ids = analysis.worst_image_ids
    above = detections.filter(pc.greater_equal(detections["score"], analysis.threshold))
    model_inputs = images.take("image", images.rows_of(image_ids))
    true = _true_marks(truth, image_ids, transforms, labels)
    found = [_found_marks(above, image_id, transforms[image_id], labels) for image_id in image_ids.tolist()]
    pictures = task_pictures(task)
    pictures.write_errors(folder, analysis.report)
    pictures.write_worst(folder, model_inputs, true, found, labels.names)


def _true_marks(
    truth: Tables, image_ids: NDArray[np.int64], transforms: Mapping[int, ResizeTransform], labels: Labels
) -> list[LabeledBoxes]:
    objects = without_crowds(truth.boxes)
    return [
        LabeledBoxes(transforms[int(image_id)].apply_boxes(boxes_xywh), labels.of_categories(category_ids))
        for image_id, (boxes_xywh, category_ids, _) in zip(image_ids, boxes_by_image(objects, image_ids), strict=True)
    ]


def _found_marks(detections: pa.Table, image_id: int, transform: ResizeTransform, labels: Labels) -> LabeledBoxes:
    """The detections of one image as they were before they were taken to the original."""
    here = detections.filter(pc.equal(detections["image_id"], image_id))
    return LabeledBoxes(
        transform.apply_boxes(boxes_xywh_of(here)),
        labels.of_categories(here["category_id"].to_numpy()),
        here["score"].to_numpy(),
    )
