"""The snacks' annotations as tables: one CSV file per split, none, one or several rows per image.

The classes are the folders of the training images. Where all of these are published ones, the list is the whole
published one, so that a part of the dataset that lacks some folders keeps the ids of the others. A row of any other
class is refused: a model could neither learn nor answer it.
"""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.archives.zip_archive import Archive
from pipeline.core import schema
from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets.annotations import Tables, boxes_table, categories_table
from pipeline.datasets.formats.csv_file import MAX_CSV_BYTES, Row, headed_rows, image_size
from pipeline.datasets.snacks.source import (
    ARCHIVE,
    CLASSES,
    COLUMNS,
    PREFIXES,
    SPLITS,
    annotation_member,
    image_member,
)
from pipeline.geometry.boxes import xyxy_to_xywh

Key = tuple[str, str, str]
"""Split, folder and image id: what names an image."""


def read(download: Path) -> Tables:
    """All splits of the archive below `download`, train first. Images without rows are among the images.

    Images are numbered from 1 in order of folder and image id, boxes from 1 in order of the rows.
    """
    archive = Archive(download / ARCHIVE)
    prefix = _prefix(archive)
    keys = _image_keys(archive, prefix)
    classes = _classes(keys)
    numbers = {key: number for number, key in enumerate(keys, 1)}
    image_ids, category_ids, corners_rel_xyxy = [], [], []
    for split in SPLITS:
        for row in _rows(archive, prefix, split):
            image_ids.append(_image_number(row, prefix, split, numbers))
            category_ids.append(_category_id(row, classes))
            corners_rel_xyxy.append([row.fraction(column) for column in ("x_min", "y_min", "x_max", "y_max")])
    sizes = np.array([image_size(archive[image_member(prefix, *key)]) for key in keys])
    scale = np.tile(sizes, 2)[np.array(image_ids) - 1]
    return Tables(
        images=_images(prefix, keys, sizes.tolist()),
        boxes=boxes_table(image_ids, category_ids, xyxy_to_xywh(np.array(corners_rel_xyxy) * scale)),
        categories=categories_table(range(1, len(classes) + 1), classes, ["snack"] * len(classes)),
    )


def _prefix(archive: Archive) -> str:
    for prefix in PREFIXES:
        if annotation_member(prefix, SPLITS[0]) in archive:
            return prefix
    raise BoxlineError(
        f"{archive.path}: neither {' nor '.join(annotation_member(prefix, SPLITS[0]) for prefix in PREFIXES)} found. "
        "Expected the snacks' archive; see pipeline/datasets/snacks/source.py for its layout."
    )


def _image_keys(archive: Archive, prefix: str) -> list[Key]:
    """Every image, in an order that does not depend on how the archive was packed."""
    # No name begins with a dot: not "..", and not the "._x.jpg" that some archivers add.
    pattern = re.compile(rf"{prefix}({'|'.join(SPLITS)})/([^/.][^/]*)/([^/.][^/]*)\.jpg")
    matches = [match for match in map(pattern.fullmatch, archive.names()) if match]
    keys = [(match[1], match[2], match[3]) for match in matches]
    return sorted(keys, key=lambda key: (SPLITS.index(key[0]), key))


def _classes(keys: list[Key]) -> list[str]:
    """In alphabetical order, category ids from 1."""
    folders = {folder for split, folder, _ in keys if split == SPLITS[0]}
    return CLASSES if folders <= set(CLASSES) else sorted(folders)


def _rows(archive: Archive, prefix: str, split: str) -> list[Row]:
    member = annotation_member(prefix, split)
    return headed_rows(f"{archive.path}: member {member}", archive[member].read(MAX_CSV_BYTES), COLUMNS)


def _image_number(row: Row, prefix: str, split: str, numbers: dict[Key, int]) -> int:
    folder, image_id = row["folder"], row["image_id"]
    if (split, folder, image_id) in numbers:
        return numbers[split, folder, image_id]
    folders = sorted({key[1] for key in numbers if key[0] == split})
    if folder not in folders:
        raise row.error(
            "folder", f"a folder of images below {prefix}{split} ({join_items(folders) or 'there is none'})"
        )
    raise row.error("image_id", f"an image in {prefix}{split}/{folder} of the archive")


def _category_id(row: Row, classes: list[str]) -> int:
    if row["class_name"] not in classes:
        raise row.error("class_name", f"one of the classes {join_items(classes, limit=20)}")
    return classes.index(row["class_name"]) + 1


def _images(prefix: str, keys: list[Key], sizes: list[list[int]]) -> pa.Table:
    columns = {
        "image_id": range(1, len(keys) + 1),
        "split": [split for split, _, _ in keys],
        "file_name": [f"{folder}/{image_id}.jpg" for _, folder, image_id in keys],
        "width": [width for width, _ in sizes],
        "height": [height for _, height in sizes],
        "archive": [ARCHIVE] * len(keys),
        "member": [image_member(prefix, *key) for key in keys],
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in schema.IMAGES], schema.IMAGES)
