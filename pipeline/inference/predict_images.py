"""Predictions for images of the user, drawn and written to a folder."""

import contextlib
import errno
import logging
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from tqdm.contrib.logging import logging_redirect_tqdm

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.errors import BoxlineError
from pipeline.core.file_names import UniqueStems, max_name_bytes
from pipeline.core.progress import ProgressBar
from pipeline.datasets.annotations import boxes_xywh_of
from pipeline.geometry.boxes import xywh_to_xyxy
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.inference.detections import detections_in_image_coordinates
from pipeline.inference.inputs import read_image
from pipeline.inference.predictions_file import PredictionsFile, image_stem
from pipeline.inference.predictor import Predictor
from pipeline.plots.annotated_image import resize_for_drawing, save_annotated_image
from pipeline.systems.common.interfaces import ViewWriter
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.registry import get_system

logger = logging.getLogger(__name__)

BATCH_IMAGES = 8
"""Small, since each image of a batch is kept together with its pixels for drawing, up to 12 MB."""

BATCH_PIXELS = 2 * 800**2
"""A batch ends with the image that reaches this number of pixels: with two model inputs of 800 px, for which a network
needs gigabytes, or with one large photograph of which crops are written."""

RESERVED_NAME_BYTES = 32
"""What may be added to the stem of an image for the names of its files."""

REFUSED_NAME_ERRORS = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)
"""With these, a file system refuses a name. Other errors of writing, such as a full disk, concern all images."""

VIEWS = "views"
CROPS = "crops"
CROP_QUALITY = 95
"""Of a crop that is written as JPEG."""

NO_GROUND_TRUTH = LabeledBoxes(np.empty((0, 4)), np.empty(0, np.int64))


@dataclass(frozen=True)
class PredictionSummary:
    """What `predict_images` did.

    Attributes:
        images: images that were predicted.
        failed: images that could not be read, or whose files could not be written because of their names.
        boxes: boxes that were written.
        highest_score: the highest score of any predicted box, written or not; 0 without boxes.
        counts: the name of each predicted image, and how many written boxes of each class it has.

    """

    images: int
    failed: int
    boxes: int
    highest_score: float
    counts: list[tuple[str, dict[str, int]]]


@dataclass(frozen=True)
class _Item:
    """An image on its way through the model.

    Attributes:
        name: as the user gave it, without secrets.
        stem: the name of its files, without suffix.
        suffix: of its files.
        transform: maps its boxes to the model input and back.
        model_input: uint8 [size, size, channels].
        drawing: uint8 [height, width, 3], its pixels at a bounded size.
        original: its pixels at full resolution if crops are to be written, else None.

    """

    name: str
    stem: str
    suffix: str
    transform: ResizeTransform
    model_input: NDArray[np.uint8]
    drawing: NDArray[np.uint8]
    original: NDArray[np.uint8] | None


def predict_images(
    names: Sequence[str],
    predictor: Predictor,
    source: str,
    out: Path,
    score_threshold: float,
    *,
    write_views: ViewWriter | None = None,
    with_crops: bool = False,
) -> PredictionSummary:
    """Predict boxes in images, draw them, and write predictions.json.

    An image that cannot be read, or whose files cannot have a name, is reported as an error in the log, and the others
    are predicted.

    Args:
        names: files and URLs.
        predictor: the model.
        source: where the model comes from, for predictions.json.
        out: the folder to write; it is replaced atomically.
        score_threshold: boxes with a lower score are neither drawn nor written.
        write_views: draws the views that only this system has.
        with_crops: whether to write each box as an image of its own, from the pixels of the original.

    Raises:
        BoxlineError: if no image can be read, or the model predicts NaN or infinity. `out` is unchanged.

    """
    results, highest_score = PredictionsFile(predictor.labels), 0.0
    with (
        logging_redirect_tqdm(),
        ProgressBar("predicting", len(names), "image") as progress,
        atomic_directory(out.resolve()) as folder,
    ):
        stems = UniqueStems(max_name_bytes(folder) - RESERVED_NAME_BYTES)
        for batch in _batches(_read_items(names, predictor, stems, progress, with_crops=with_crops)):
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
                    crops = _write_crops(folder, item, detections, predictor.labels) if with_crops else None
                    results.add(item.name, item.transform.width, item.transform.height, files, detections, crops)
                except OSError as error:
                    if error.errno not in REFUSED_NAME_ERRORS:
                        raise
                    logger.error("%s: its files cannot be written (%s). Rename it.", item.name, error.strerror)
                    _delete_files(folder, item)
                progress.update()
        if not results.num_images:
            raise BoxlineError(f"None of {len(names)} images could be read; nothing was written.")
        results.write(folder, {"model": source, "score_threshold": score_threshold})
    failed = len(names) - results.num_images
    return PredictionSummary(results.num_images, failed, results.num_boxes, highest_score, results.counts_by_image())


def view_writer_of(module: str) -> ViewWriter:
    """The view writer of a system.

    Raises:
        BoxlineError: if it has none.

    """
    write_views = get_system(module).view_writer()
    if write_views is None:
        raise BoxlineError(f"{module} has no views of its own. Omit --views.")
    return write_views


def _read_items(
    names: Sequence[str], predictor: Predictor, stems: UniqueStems, progress: Any, *, with_crops: bool
) -> Iterator[_Item]:
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
        original = image.pixels if with_crops else None
        stem = stems.add(image_stem(name))
        yield _Item(image.name, stem, suffix, transform, model_input, drawing, original)


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Batches of at most BATCH_IMAGES images, and of fewer if these or their model inputs have many pixels."""
    batch: list[_Item] = []
    pixels = 0
    for item in items:
        batch.append(item)
        for image in (item.model_input, item.original):
            pixels += 0 if image is None else image.shape[0] * image.shape[1]
        if len(batch) == BATCH_IMAGES or pixels >= BATCH_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
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
    for kind in (VIEWS, CROPS):
        shutil.rmtree(folder / kind / item.stem, ignore_errors=True)


def _write_crops(folder: Path, item: _Item, detections: pa.Table, labels: Labels) -> list[str | None]:
    """Write the part of an image in each box, at full resolution, and return the names of the files.

    A box is enlarged to whole pixels and clipped to the image; None stands for a box of which nothing is left.
    """
    assert item.original is not None, "crops need the original pixels"
    names: list[str | None] = []
    height, width = item.original.shape[:2]
    boxes_xyxy = xywh_to_xyxy(boxes_xywh_of(detections))
    low = np.floor(boxes_xyxy[:, :2]).clip(0, [width, height]).astype(int)
    high = np.ceil(boxes_xyxy[:, 2:]).clip(0, [width, height]).astype(int)
    class_labels = labels.from_category_ids(detections["category_id"].to_numpy())
    stems = UniqueStems(max_name_bytes(folder) - RESERVED_NAME_BYTES)
    for number, (label, (left, top), (right, bottom)) in enumerate(zip(class_labels, low, high, strict=True), 1):
        if right <= left or bottom <= top:
            names.append(None)
            continue
        name = re.sub(r"[^\w.-]+", "_", labels.names[int(label)])
        path = folder / CROPS / item.stem / (stems.add(f"{number}-{name}") + item.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(item.original[top:bottom, left:right]).save(path, quality=CROP_QUALITY)
        names.append(path.relative_to(folder).as_posix())
    return names
