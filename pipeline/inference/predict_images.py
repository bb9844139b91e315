"""A trained model's answers to images of one's own, drawn and written down."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image
from tqdm.contrib.logging import logging_redirect_tqdm

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.errors import BoxlineError
from pipeline.core.progress import bar
from pipeline.datasets.annotations import boxes_xywh_of
from pipeline.evaluation.detections import to_original
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import BOX_TRANSFORMS, PIXEL_TRANSFORMS, ResizeTransform
from pipeline.inference.coco_results import Answers, picture_stem
from pipeline.inference.inputs import Photograph, read_photograph
from pipeline.inference.predictor import load_model
from pipeline.plots.annotated_image import fit_for_drawing, save_photograph
from pipeline.systems import interfaces as verbs
from pipeline.systems.interfaces import Decoded
from pipeline.systems.labels import LABELS, Labels
from pipeline.systems.model_metadata import MODEL, SYSTEM, ModelMetadata

logger = logging.getLogger(__name__)

BATCH_IMAGES = 8
"""Small, since each image of a batch also waits with the pixels of its picture, up to 12 MB."""

VIEWS = "views"
NO_TRUTH = LabeledBoxes(np.empty((0, 4)), np.empty(0, np.int64))


@dataclass(frozen=True)
class Outcome:
    """How many images were answered and could not be read, the boxes written, and the highest score of any box."""

    done: int
    failed: int
    boxes: int
    highest_score: float


@dataclass(frozen=True)
class _Item:
    """An image on its way through the model. Its original pixels are let go; `picture` is bounded in size."""

    name: str
    stem: str
    suffix: str
    transform: ResizeTransform
    model_input: NDArray[np.uint8]
    picture: NDArray[np.uint8]


def predict_images(
    names: Sequence[str], model_folder: Path, out: Path, score_threshold: float, *, with_views: bool
) -> Outcome:
    """Answer the images `names`, files and addresses, with the model in `model_folder`; fill the folder `out`.

    Boxes with at least `score_threshold` are drawn and written. An image that cannot be read is reported, and the
    others go on. Raises BoxlineError, leaving `out` as it was, where none can be read or the model does not fit.
    """
    saved, labels = ModelMetadata.read(model_folder), Labels.read(model_folder)
    write_views = _views_writer(saved.module) if with_views else None
    model = load_model(model_folder, saved.module)
    _require_input(model, saved, model_folder)
    answers, highest_score = Answers(labels), 0.0
    with (
        logging_redirect_tqdm(),
        bar("predicting", len(names), "image") as progress,
        atomic_directory(out.resolve()) as folder,
    ):
        for batch in _batches(_items(names, saved, progress)):
            outputs = {
                name: np.asarray(values)
                for name, values in model.predict_on_batch(np.stack([item.model_input for item in batch])).items()
            }
            decoded = verbs.codec(saved.module).decode(outputs)
            found = _in_original_pixels(decoded, batch, labels, model_folder)
            highest_score = max(highest_score, pc.max(found["score"]).as_py() or 0.0)
            for number, (item, labeled_boxes) in enumerate(zip(batch, decoded.by_image(len(batch)), strict=True)):
                here = (pc.field("image_id") == number) & (pc.field("score") >= score_threshold)
                detections = found.filter(here).sort_by([("score", "descending")])
                pictures = [_draw(folder, item, detections, labels)]
                if write_views is not None:
                    views = folder / VIEWS / item.stem
                    views.mkdir(parents=True)
                    own = {name: values[number : number + 1] for name, values in outputs.items()}
                    write_views(
                        views, item.model_input[None], own, [NO_TRUTH], [labeled_boxes], labels.names, score_threshold
                    )
                    pictures += sorted(path.relative_to(folder).as_posix() for path in views.iterdir())
                answers.add(item.name, item.transform.width, item.transform.height, pictures, detections)
                progress.update()
        if not answers.num_images:
            raise BoxlineError(f"None of {len(names)} images could be read; nothing was written.")
        answers.write(folder, {"model": str(model_folder), "score_threshold": score_threshold})
    failed = len(names) - answers.num_images
    return Outcome(answers.num_images, failed, answers.num_boxes, highest_score)


def _items(names: Sequence[str], saved: ModelMetadata, progress: Any) -> Iterator[_Item]:
    """The images that can be read; the others are reported."""
    stems: set[str] = set()
    for name in names:
        try:
            photograph = read_photograph(name)
        except BoxlineError as error:
            logger.error("%s", error)
            progress.update()
            continue
        yield _Item(
            photograph.name,
            picture_stem(name, stems),
            ".jpg" if photograph.is_jpeg else ".png",
            BOX_TRANSFORMS[saved.resize](photograph.width, photograph.height, saved.image_size),
            _square(photograph, saved),
            fit_for_drawing(photograph.pixels),
        )


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH_IMAGES)):
        yield batch


def _square(photograph: Photograph, saved: ModelMetadata) -> NDArray[np.uint8]:
    """The image as `pack` would have made it, uint8 [size, size, channels]."""
    transform = PIXEL_TRANSFORMS[saved.resize](photograph.width, photograph.height, saved.image_size)
    if saved.channels == 3:
        return transform.apply_image(photograph.pixels)
    return transform.apply_image(np.asarray(Image.fromarray(photograph.pixels).convert("L"))[..., None])


def _in_original_pixels(decoded: Decoded, batch: Sequence[_Item], labels: Labels, model_folder: Path) -> pa.Table:
    """Boxes with schema.DETECTIONS, where image_id is the place in the batch. Raises BoxlineError for an answer that
    means nothing.
    """
    if decoded.labels.max(initial=0) >= len(labels.names):
        raise BoxlineError(
            f"{model_folder / MODEL} answers label {decoded.labels.max()}, {LABELS} names {len(labels.names)} labels. "
            "Give the folder that a train stage wrote."
        )
    transforms = {number: item.transform for number, item in enumerate(batch)}
    found = to_original(decoded, np.arange(len(batch)), transforms, labels.category_ids)
    if not (np.isfinite(boxes_xywh_of(found)).all() and np.isfinite(found["score"].to_numpy()).all()):
        raise BoxlineError(f"{model_folder / MODEL} answers with NaN or infinity. Train it anew.")
    return found


def _draw(folder: Path, item: _Item, detections: pa.Table, labels: Labels) -> str:
    """Draw the picture of an image with its boxes; return its name."""
    name = item.stem + item.suffix
    fractions_xywh = boxes_xywh_of(detections) / np.tile([item.transform.width, item.transform.height], 2)
    of_boxes = labels.of_categories(detections["category_id"].to_numpy())
    labeled_boxes = LabeledBoxes(fractions_xywh, of_boxes, detections["score"].to_numpy())
    save_photograph(folder / name, item.picture, labeled_boxes, labels.names)
    return name


def _views_writer(module: str) -> Callable[..., None]:
    write_views = verbs.write_views(module)
    if write_views is None:
        raise BoxlineError(f"{module} has no views of its own. Leave out --views.")
    return write_views


def _require_input(model: Any, saved: ModelMetadata, model_folder: Path) -> None:
    expected = (None, saved.image_size, saved.image_size, saved.channels)
    # A model without dense layers takes any size: None there fits everything.
    if any(taken not in (None, size) for taken, size in zip(model.input_shape, expected, strict=True)):
        raise BoxlineError(
            f"{model_folder / MODEL} takes images of shape {model.input_shape}, {SYSTEM} says {expected}. "
            "Give the folder that a train stage wrote."
        )
