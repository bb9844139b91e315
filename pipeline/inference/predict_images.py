"""Predictions for images of the user, drawn and written to a folder."""

import contextlib
import errno
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm.contrib.logging import logging_redirect_tqdm

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.errors import BoxlineError
from pipeline.core.file_names import UniqueStems, max_name_bytes
from pipeline.core.progress import ProgressBar
from pipeline.datasets.annotations import boxes_xywh_of
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.inference.detections import detections_in_image_coordinates
from pipeline.inference.inputs import read_image
from pipeline.inference.predictions_file import PredictionsFile, harmless_stem
from pipeline.inference.predictor import Predictor
from pipeline.plots.annotated_image import resize_for_drawing, save_annotated_image
from pipeline.systems.common.interfaces import ViewWriter
from pipeline.systems.common.model_metadata import ModelMetadata
from pipeline.systems.common.registry import get_system

logger = logging.getLogger(__name__)

BATCH_IMAGES = 8
"""Small, since each image of a batch is kept together with its pixels for drawing, up to 12 MB."""

RESERVED_NAME_BYTES = 32
"""What may be added to the stem of an image for the names of its files."""

REFUSED_NAME_ERRORS = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
"""With these, a file system refuses a name. Other errors of writing, such as a full disk, concern all images."""

VIEWS = "views"
NO_GROUND_TRUTH = LabeledBoxes(np.empty((0, 4)), np.empty(0, np.int64))


@dataclass(frozen=True)
class PredictionSummary:
    """What `predict_images` did.

    Attributes:
        images: images that were predicted.
        failed: images that could not be read, or whose files could not be written because of their names.
        boxes: boxes that were written.
        highest_score: the highest score of any predicted box, written or not; 0 without boxes.

    """

    images: int
    failed: int
    boxes: int
    highest_score: float


@dataclass(frozen=True)
class _Item:
    """An image on its way through the model, without its original pixels: those for drawing have a bounded size."""

    name: str
    stem: str
    suffix: str
    transform: ResizeTransform
    model_input: NDArray[np.uint8]
    drawing: NDArray[np.uint8]


def predict_images(
    names: Sequence[str], model_folder: Path, out: Path, score_threshold: float, *, with_views: bool
) -> PredictionSummary:
    """Predict boxes in images, draw them, and write predictions.json.

    An image that cannot be read, or whose files cannot have a name, is reported as an error in the log, and the others
    are predicted.

    Args:
        names: files and URLs.
        model_folder: the folder that a train stage wrote.
        out: the folder to write; it is replaced atomically.
        score_threshold: boxes with a lower score are neither drawn nor written.
        with_views: whether to draw the views that only this system has, too.

    Raises:
        BoxlineError: if no image can be read, the folder holds no usable model, the model predicts NaN or infinity, or
            the system has no views. `out` is unchanged.

    """
    write_views = _view_writer(ModelMetadata.read(model_folder).module) if with_views else None
    predictor = Predictor.load(model_folder)
    results, highest_score = PredictionsFile(predictor.labels), 0.0
    with (
        logging_redirect_tqdm(),
        ProgressBar("predicting", len(names), "image") as progress,
        atomic_directory(out.resolve()) as folder,
    ):
        stems = UniqueStems(max_name_bytes(folder) - RESERVED_NAME_BYTES)
        for batch in _batches(_read_items(names, predictor, stems, progress)):
            prediction = predictor.predict_batch(np.stack([item.model_input for item in batch]))
            for row, (item, boxes) in enumerate(zip(batch, prediction.boxes, strict=True)):
                highest_score = max(highest_score, _highest_score(boxes, predictor))
                detections = _detections(item, boxes.above(score_threshold), predictor)
                outputs = {name: values[row : row + 1] for name, values in prediction.outputs.items()}
                try:
                    files = [_draw(folder, item, detections, predictor)]
                    if write_views is not None:
                        views = folder / VIEWS / item.stem
                        views.mkdir(parents=True)
                        write_views(
                            views,
                            item.model_input[None],
                            outputs,
                            [NO_GROUND_TRUTH],
                            [boxes],
                            predictor.labels.names,
                            score_threshold,
                        )
                        files += sorted(path.relative_to(folder).as_posix() for path in views.iterdir())
                    results.add(item.name, item.transform.width, item.transform.height, files, detections)
                except OSError as error:
                    if error.errno not in REFUSED_NAME_ERRORS:
                        raise
                    logger.error("%s: its files cannot be written (%s). Rename it.", item.name, error.strerror)
                    _delete_files(folder, item)
                progress.update()
        if not results.num_images:
            raise BoxlineError(f"None of {len(names)} images could be read; nothing was written.")
        results.write(folder, {"model": str(model_folder), "score_threshold": score_threshold})
    failed = len(names) - results.num_images
    return PredictionSummary(results.num_images, failed, results.num_boxes, highest_score)


def _read_items(names: Sequence[str], predictor: Predictor, stems: UniqueStems, progress: Any) -> Iterator[_Item]:
    """Read and resize the images; log those that cannot be read."""
    for name in names:
        try:
            image = read_image(name)
        except BoxlineError as error:
            logger.error("%s", error)
            progress.update()
            continue
        model_input, transform = predictor.resize(image.pixels)
        suffix = ".jpg" if image.is_jpeg else ".png"
        drawing = resize_for_drawing(image.pixels)
        yield _Item(image.name, stems.add(harmless_stem(name)), suffix, transform, model_input, drawing)


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH_IMAGES)):
        yield batch


def _highest_score(boxes: LabeledBoxes, predictor: Predictor) -> float:
    assert boxes.scores is not None, "predictions have scores"
    if not (np.isfinite(boxes.boxes_rel_xywh).all() and np.isfinite(boxes.scores).all()):
        raise BoxlineError(f"{predictor.name} predicts NaN or infinity. Train it again.")
    return float(boxes.scores.max(initial=0))


def _detections(item: _Item, boxes: LabeledBoxes, predictor: Predictor) -> pa.Table:
    """The boxes of one image with schema.DETECTIONS, highest score first. Its image id stands for no dataset."""
    table = detections_in_image_coordinates([boxes], np.array([1]), {1: item.transform}, predictor.labels)
    return table.sort_by([("score", "descending")])


def _draw(folder: Path, item: _Item, detections: pa.Table, predictor: Predictor) -> str:
    """Draw an image with its boxes and return the name of the file."""
    name = item.stem + item.suffix
    image_scale = np.tile([item.transform.width, item.transform.height], 2)
    boxes = LabeledBoxes(
        boxes_xywh_of(detections) / image_scale,
        predictor.labels.from_category_ids(detections["category_id"].to_numpy()),
        detections["score"].to_numpy(),
    )
    save_annotated_image(folder / name, item.drawing, boxes, predictor.labels.names)
    return name


def _delete_files(folder: Path, item: _Item) -> None:
    """Delete what was written for an image before one of its files failed."""
    with contextlib.suppress(OSError):  # a refused name cannot be deleted either
        (folder / (item.stem + item.suffix)).unlink()
    shutil.rmtree(folder / VIEWS / item.stem, ignore_errors=True)


def _view_writer(module: str) -> ViewWriter:
    write_views = get_system(module).view_writer()
    if write_views is None:
        raise BoxlineError(f"{module} has no views of its own. Omit --views.")
    return write_views
