"""Reads COCO's archives."""

import logging
import unicodedata
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.archives.image_sizes import image_size
from pipeline.archives.zip_archive import Archive
from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import Tables, categories_table, images_table
from pipeline.datasets.coco.source import ANNOTATION_ARCHIVE, IMAGE_ARCHIVES, annotation_member, image_member
from pipeline.datasets.formats.coco import (
    MAX_CATEGORY_ID,
    Category,
    Images,
    InstanceTables,
    decode,
    describe_failure,
)
from pipeline.datasets.interfaces import TableReader

logger = logging.getLogger(__name__)


class CocoReader(TableReader):
    """Reads all splits in the published order, train first. Images and boxes keep their published ids."""

    def read(self, download: Path) -> Tables:
        """All splits of the archives below `download`."""
        archive = Archive(download / ANNOTATION_ARCHIVE)
        splits = {split: _decode(archive, split) for split in IMAGE_ARCHIVES}
        categories = _categories(splits, archive.path)
        return Tables(
            images=pa.concat_tables(
                [_images(split, instances.images, download) for split, instances in splits.items()]
            ),
            boxes=pa.concat_tables([_boxes(split, instances.boxes) for split, instances in splits.items()]),
            categories=categories_table(
                [c.id for c in categories], [c.name for c in categories], [c.supercategory for c in categories]
            ),
        )


def _categories(splits: dict[str, InstanceTables], path: Path) -> list[Category]:
    """The categories that the splits list, in any order. Splits may leave some out, but must agree about each id."""
    found: dict[int, tuple[Category, str]] = {}
    for split, instances in splits.items():
        for number, category in enumerate(instances.categories):
            where = f"{annotation_member(split)} (categories[{number}])"
            known, known_where = found.setdefault(category.id, (category, where))
            if unicodedata.normalize("NFC", category.name) != unicodedata.normalize("NFC", known.name):
                raise BoxlineError(
                    f"{path}: category id {category.id} has the name {known.name!r} in {known_where} and "
                    f"{category.name!r} in {where}. Give it one name, or the classes different ids."
                )
            known.supercategory = known.supercategory or category.supercategory
    if not found:
        raise BoxlineError(f"{path}: no split lists any categories. Correct the files, or download the archive again.")
    return [category for category, _ in found.values()]


def _decode(archive: Archive, split: str) -> InstanceTables:
    member = annotation_member(split)
    content = archive[member].read()
    try:
        instances = decode(content)
        _require_valid_ids(instances)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BoxlineError(
            f"{archive.path}: member {member} is not a COCO instances file: {describe_failure(content, error)}. "
            "Correct the file, or download the archive again."
        ) from None
    if instances.unreadable:
        logger.warning(
            "%s: member %s: %s be read. The stage `validate` moves the rows to quarantine. The first: %s.",
            archive.path,
            member,
            pluralize(len(instances.unreadable), "value cannot", "values cannot"),
            instances.unreadable[0],
        )
    return instances


def _require_valid_ids(instances: InstanceTables) -> None:
    """Raise msgspec.ValidationError for a category whose boxes could not be told from those of other classes."""
    for unreadable in instances.unreadable:
        if unreadable.list_name == "categories":
            raise msgspec.ValidationError(str(unreadable))
    for number, category in enumerate(instances.categories):
        if not 1 <= category.id <= MAX_CATEGORY_ID:
            raise msgspec.ValidationError(
                f"categories[{number}].id: received {category.id}, expected a whole number from 1 to {MAX_CATEGORY_ID}"
            )


def _boxes(split: str, boxes: pa.Table) -> pa.Table:
    columns = {"split": pa.repeat(split, boxes.num_rows), **dict(zip(boxes.column_names, boxes.columns, strict=True))}
    return pa.table([columns[name] for name in schema.OUTLINED_BOXES.names], schema.OUTLINED_BOXES)


def _images(split: str, images: Images, download: Path) -> pa.Table:
    file_names = images.file_names.to_pylist()
    return images_table(
        image_ids=images.ids.tolist(),
        splits=[split] * len(file_names),
        file_names=file_names,
        sizes=_sizes(split, images, download / IMAGE_ARCHIVES[split]).tolist(),
        archives=[IMAGE_ARCHIVES[split]] * len(file_names),
        members=[image_member(split, file_name) for file_name in file_names],
    )


def _sizes(split: str, images: Images, archive_path: Path) -> NDArray[np.int32]:
    """Width and height of each image: as stated, else those of the file; 0, 0 where there is no such file."""
    sizes = images.sizes.copy()
    if not images.has_size.all():
        archive, folder = Archive(archive_path), image_member(split, "")
        for row in np.flatnonzero(~images.has_size).tolist():
            sizes[row] = image_size(archive.get(images.file_names[row].as_py(), folder))
    return sizes
