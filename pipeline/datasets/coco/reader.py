"""Reads COCO's archives."""

import re
from collections import Counter
from pathlib import Path

import msgspec
import pyarrow as pa

from pipeline.archives.zip_archive import Archive
from pipeline.core import schema
from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets.annotations import Tables, categories_table, images_table
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, IMAGE_ARCHIVES, annotation_member, image_member
from pipeline.datasets.formats.coco import Category, Image, InstanceTables, decode
from pipeline.datasets.interfaces import TableReader

CONTEXT_BYTES = 20
"""How much of a malformed file an error message quotes."""


class CocoReader(TableReader):
    """Reads all splits in the published order, train first. Images and boxes keep their published ids."""

    def read(self, download: Path) -> Tables:
        """All splits of the archives below `download`."""
        archive = Archive(download / ANNOTATION_ARCHIVE)
        splits = {split: _decode(archive, split) for split in IMAGE_ARCHIVES}
        categories = _categories(splits, archive.path)
        return Tables(
            images=pa.concat_tables([_images(split, instances.images) for split, instances in splits.items()]),
            boxes=pa.concat_tables([_boxes(split, instances.boxes) for split, instances in splits.items()]),
            categories=categories_table(
                [c.id for c in categories], [c.name for c in categories], [c.supercategory for c in categories]
            ),
        )


def _categories(splits: dict[str, InstanceTables], path: Path) -> list[Category]:
    """The categories. Every split must have the same list, and no id may be repeated."""
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


def _decode(archive: Archive, split: str) -> InstanceTables:
    member = annotation_member(split)
    content = archive[member].read()
    try:
        instances = decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BoxlineError(
            f"{archive.path}: member {member} is not a COCO instances file: {error}{_quote(content, str(error))}. "
            "Correct the file, or download the archive again."
        ) from None
    if not instances.images:
        raise BoxlineError(
            f"{archive.path}: member {member} lists no images, expected at least one. Correct the file, or download "
            "the archive again."
        )
    return instances


def _quote(content: bytes, message: str) -> str:
    """The bytes at the position that the decoder's message names, if any."""
    position = re.search(r"\(byte (\d+)\)", message)
    if position is None:
        return ""
    start = int(position[1])
    return f", received {content[start : start + CONTEXT_BYTES].decode(errors='replace')!r}"


def _boxes(split: str, boxes: pa.Table) -> pa.Table:
    columns = {"split": pa.repeat(split, boxes.num_rows), **dict(zip(boxes.column_names, boxes.columns, strict=True))}
    return pa.table([columns[name] for name in schema.BOXES.names], schema.BOXES)


def _images(split: str, images: list[Image]) -> pa.Table:
    return images_table(
        image_ids=[image.id for image in images],
        splits=[split] * len(images),
        file_names=[image.file_name for image in images],
        sizes=[(image.width, image.height) for image in images],
        archives=[IMAGE_ARCHIVES[split]] * len(images),
        members=[image_member(split, image.file_name) for image in images],
    )
