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
from numpy.typing import NDArray

from pipeline.datasets.tables import Tables, boxes_by_image, without_crowds
from pipeline.drawing.curves import save_curves
from pipeline.evaluation.params import Evaluate
from pipeline.geometry.marks import Marks
from pipeline.geometry.placement import Placement
from pipeline.storage.shards import Shards, spread
from pipeline.systems.labels import Labels
from pipeline.systems.verbs import Arrays, Codec, write_views


class TaskPictures(Protocol):
    """pipeline/evaluation/detection_pictures.py and localization_pictures.py"""

    def write_task_pictures(
        self,
        folder: Path,
        squares: NDArray[np.uint8],
        outputs: Arrays,
        truth: Sequence[Marks],
        predictions: Sequence[Marks],
        codec: Codec,
        names: Sequence[str],
    ) -> None:
        """Pictures of one batch, its outputs, true boxes and the boxes to show; one mark per image and box."""


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
    section: Evaluate,
    model: keras.Model,
    images: Shards,
    truth: Tables,
    placements: Mapping[int, Placement],
    codec: Codec,
    labels: Labels,
) -> None:
    """The task's pictures of boxes above the threshold, and the views that the system brings itself.

    Crowd regions are left out of the true boxes: no score asks about them.
    """
    image_ids = spread(np.sort(truth.images["image_id"].to_numpy()), section.pictures)
    squares = images.take("image", images.rows_of(image_ids))
    outputs = {name: np.asarray(values) for name, values in model.predict_on_batch(squares).items()}
    found = labels.known(codec.decode(outputs)).by_image(len(image_ids))
    objects = without_crowds(truth.boxes)
    true = [
        Marks(placements[int(image_id)].boxes_to_square(boxes_xywh), labels.of_categories(category_ids))
        for image_id, (boxes_xywh, category_ids, _) in zip(image_ids, boxes_by_image(objects, image_ids), strict=True)
    ]
    above = [marks.above(section.score_threshold) for marks in found]
    task_pictures(task).write_task_pictures(folder, squares, outputs, true, above, codec, labels.names)
    views = write_views(module)
    if views is not None:
        views(folder, squares, outputs, true, found, labels.names, section.score_threshold)
