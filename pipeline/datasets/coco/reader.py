"""COCO's annotations as tables, by typed decoding: the file never becomes Python dicts."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta

from pipeline import schema
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, IMAGE_ARCHIVES, annotation_member, image_member
from pipeline.datasets.tables import Tables, categories_table
from pipeline.errors import BoxlineError, listed
from pipeline.storage.archives import Archive

# What fits the columns; whether an id or a size makes sense is for the checks to say.
Id = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Int32 = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
CategoryId = Annotated[int, Meta(ge=1, le=10_000)]  # 0 means "nothing" to detectors and "no match" to COCO tools


class _Image(msgspec.Struct, gc=False):
    id: Id
    file_name: str
    width: Int32
    height: Int32


class _Annotation(msgspec.Struct, gc=False):
    id: Id
    image_id: Id
    category_id: Int32
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int = 0


class _Category(msgspec.Struct):
    id: CategoryId
    name: str
    supercategory: str = ""


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read(download: Path) -> Tables:
    """All splits of the archives below `download`, rows in the published order, train first."""
    archive = Archive(download / ANNOTATION_ARCHIVE)
    splits = {split: _decode(archive, split) for split in IMAGE_ARCHIVES}
    categories = _categories(splits, download / ANNOTATION_ARCHIVE)
    return Tables(
        images=pa.concat_tables([_images(split, content.images) for split, content in splits.items()]),
        boxes=pa.concat_tables([_boxes(content.annotations) for content in splits.values()]),
        categories=categories_table(
            [c.id for c in categories], [c.name for c in categories], [c.supercategory for c in categories]
        ),
    )


def _categories(splits: dict[str, _Instances], path: Path) -> list[_Category]:
    """The categories, which every split must list alike and without repeating an id."""
    first, *others = splits
    categories = splits[first].categories
    for other in others:
        if splits[other].categories != categories:
            raise BoxlineError(
                f"{path}: {annotation_member(first)} and {annotation_member(other)} list different categories. "
                "Both splits need the same list."
            )
    repeated = [category_id for category_id, count in Counter(c.id for c in categories).items() if count > 1]
    if repeated:
        raise BoxlineError(f"{path}: {annotation_member(first)} lists category id {listed(repeated)} more than once.")
    return categories


def _decode(archive: Archive, split: str) -> _Instances:
    member = annotation_member(split)
    try:
        return msgspec.json.decode(archive[member].read(), type=_Instances)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BoxlineError(
            f"{archive.path}: member {member} is not a COCO instances file: {error}. "
            "Correct the file, or download the archive again."
        ) from None


def _images(split: str, images: list[_Image]) -> pa.Table:
    columns = {
        "image_id": [image.id for image in images],
        "split": [split] * len(images),
        "file_name": [image.file_name for image in images],
        "width": [image.width for image in images],
        "height": [image.height for image in images],
        "archive": [IMAGE_ARCHIVES[split]] * len(images),
        "member": [image_member(split, image.file_name) for image in images],
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in schema.IMAGES], schema.IMAGES)


def _boxes(annotations: list[_Annotation]) -> pa.Table:
    boxes_xywh = np.array([annotation.bbox for annotation in annotations], np.float64).reshape(-1, 4)
    columns = {
        "box_id": [annotation.id for annotation in annotations],
        "image_id": [annotation.image_id for annotation in annotations],
        "category_id": [annotation.category_id for annotation in annotations],
        **dict(zip(("x", "y", "width", "height"), boxes_xywh.T, strict=True)),
        "area": [annotation.area for annotation in annotations],
        "is_crowd": [bool(annotation.iscrowd) for annotation in annotations],
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in schema.BOXES], schema.BOXES)
