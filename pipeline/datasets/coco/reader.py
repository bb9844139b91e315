"""COCO's archives as tables."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from pipeline.archives.zip_archive import Archive
from pipeline.core import schema
from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets.annotations import Tables, categories_table
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, IMAGE_ARCHIVES, annotation_member, image_member
from pipeline.datasets.formats.coco import Category, Image, decode

CONTEXT_BYTES = 20


class _Split(NamedTuple):
    images: list[Image]
    categories: list[Category]
    boxes: pa.Table


def read(download: Path) -> Tables:
    """All splits of the archives below `download`, rows in the published order, train first."""
    archive = Archive(download / ANNOTATION_ARCHIVE)
    splits = {split: _decode(archive, split) for split in IMAGE_ARCHIVES}
    categories = _categories(splits, download / ANNOTATION_ARCHIVE)
    return Tables(
        images=pa.concat_tables([_images(split, content.images) for split, content in splits.items()]),
        boxes=pa.concat_tables([content.boxes for content in splits.values()]),
        categories=categories_table(
            [c.id for c in categories], [c.name for c in categories], [c.supercategory for c in categories]
        ),
    )


def _categories(splits: dict[str, _Split], path: Path) -> list[Category]:
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
        raise BoxlineError(
            f"{path}: {annotation_member(first)} lists category id {join_items(repeated)} more than once."
        )
    return categories


def _decode(archive: Archive, split: str) -> _Split:
    member = annotation_member(split)
    content = archive[member].read()
    try:
        found = _Split(*decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BoxlineError(
            f"{archive.path}: member {member} is not a COCO instances file: {error}{_context(content, str(error))}. "
            "Correct the file, or download the archive again."
        ) from None
    if not found.images:
        raise BoxlineError(
            f"{archive.path}: member {member} lists no images, expected at least one. Correct the file, or download "
            "the archive again."
        )
    return found


def _context(content: bytes, message: str) -> str:
    """What stands at the byte that the decoder complains about."""
    position = re.search(r"\(byte (\d+)\)", message)
    if position is None:
        return ""
    start = int(position[1])
    return f", received {content[start : start + CONTEXT_BYTES].decode(errors='replace')!r}"


def _images(split: str, images: list[Image]) -> pa.Table:
    names = [image.file_name for image in images]
    columns = {
        "image_id": [image.id for image in images],
        "split": [split] * len(images),
        "file_name": names,
        "width": [image.width for image in images],
        "height": [image.height for image in images],
        "archive": [IMAGE_ARCHIVES[split]] * len(images),
        "member": [image_member(split, name) for name in names],
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in schema.IMAGES], schema.IMAGES)
