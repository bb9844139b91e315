"""COCO's annotations as tables, by typed decoding: the file never becomes Python dicts."""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from pipeline import schema
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, IMAGE_ARCHIVES, annotation_member, image_member
from pipeline.datasets.tables import Tables, categories_table
from pipeline.errors import BoxlineError
from pipeline.storage.archives import Archive


class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int


class _Annotation(msgspec.Struct, gc=False):
    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int = 0


class _Category(msgspec.Struct):
    id: int
    name: str
    supercategory: str = ""


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read(download: Path) -> Tables:
    """All splits of the archives below `download`, rows in the published order, train first."""
    with Archive(download / ANNOTATION_ARCHIVE) as archive:
        splits = {split: _decode(archive, split) for split in IMAGE_ARCHIVES}
    categories = next(iter(splits.values())).categories
    return Tables(
        images=pa.concat_tables([_images(split, content.images) for split, content in splits.items()]),
        boxes=pa.concat_tables([_boxes(content.annotations) for content in splits.values()]),
        categories=categories_table(
            [c.id for c in categories], [c.name for c in categories], [c.supercategory for c in categories]
        ),
    )


def _decode(archive: Archive, split: str) -> _Instances:
    member = annotation_member(split)
    try:
        return msgspec.json.decode(archive.read(member), type=_Instances)
    except msgspec.DecodeError as error:
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
        "sha256": [None] * len(images),
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
