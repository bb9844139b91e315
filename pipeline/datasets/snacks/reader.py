"""Reads the snacks' annotations: one CSV file per split, with no, one or several rows per image.

The classes are the folders of the training images. If all of these are published classes, the categories are the whole
published list, so that a subset of the dataset that lacks some folders keeps the ids of the others. A row of any other
class is an error: a model could neither learn nor predict it.
"""

import re
from pathlib import Path

import numpy as np

from pipeline.archives.zip_archive import Archive
from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets.annotations import Tables, boxes_table, categories_table, images_table
from pipeline.datasets.formats.csv_file import MAX_CSV_BYTES, Row, image_size, read_rows_with_header
from pipeline.datasets.interfaces import TableReader
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

ImageKey = tuple[str, str, str]
"""Split, folder and image id, which together identify an image."""


class SnacksReader(TableReader):
    """Reads all splits, train first; images without rows are included.

    Images are numbered from 1 in order of folder and image id, boxes from 1 in order of the rows.
    """

    def read(self, download: Path) -> Tables:
        """All splits of the archive below `download`."""
        archive = Archive(download / ARCHIVE)
        prefix = _prefix(archive)
        keys = _image_keys(archive, prefix)
        classes = _classes(keys)
        id_by_key = {key: image_id for image_id, key in enumerate(keys, 1)}
        splits, image_ids, category_ids, boxes_rel_xyxy = [], [], [], []
        for split in SPLITS:
            for row in _rows(archive, prefix, split):
                splits.append(split)
                image_ids.append(_image_id(row, prefix, split, id_by_key))
                category_ids.append(_category_id(row, classes))
                boxes_rel_xyxy.append([row.fraction(column) for column in ("x_min", "y_min", "x_max", "y_max")])
        members = [image_member(prefix, *key) for key in keys]
        sizes = [image_size(archive[member]) for member in members]
        scale = np.tile(np.array(sizes), 2)[np.array(image_ids) - 1]
        return Tables(
            images=images_table(
                image_ids=range(1, len(keys) + 1),
                splits=[split for split, _, _ in keys],
                file_names=[f"{folder}/{image_id}.jpg" for _, folder, image_id in keys],
                sizes=sizes,
                archives=[ARCHIVE] * len(keys),
                members=members,
            ),
            boxes=boxes_table(splits, image_ids, category_ids, xyxy_to_xywh(np.array(boxes_rel_xyxy) * scale)),
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


def _image_keys(archive: Archive, prefix: str) -> list[ImageKey]:
    """All images, in an order that does not depend on the order of the archive."""
    # A leading dot is excluded: "..", and the "._x.jpg" that some archivers add.
    pattern = re.compile(rf"{prefix}({'|'.join(SPLITS)})/([^/.][^/]*)/([^/.][^/]*)\.jpg")
    matches = [match for match in map(pattern.fullmatch, archive.names()) if match]
    keys = [(match[1], match[2], match[3]) for match in matches]
    return sorted(keys, key=lambda key: (SPLITS.index(key[0]), key))


def _classes(keys: list[ImageKey]) -> list[str]:
    """Names in alphabetical order; the category ids count them from 1."""
    folders = {folder for split, folder, _ in keys if split == SPLITS[0]}
    return CLASSES if folders <= set(CLASSES) else sorted(folders)


def _rows(archive: Archive, prefix: str, split: str) -> list[Row]:
    member = annotation_member(prefix, split)
    return read_rows_with_header(f"{archive.path}: member {member}", archive[member].read(MAX_CSV_BYTES), COLUMNS)


def _image_id(row: Row, prefix: str, split: str, id_by_key: dict[ImageKey, int]) -> int:
    folder, name = row["folder"], row["image_id"]
    if (split, folder, name) in id_by_key:
        return id_by_key[split, folder, name]
    folders = sorted({key[1] for key in id_by_key if key[0] == split})
    if folder not in folders:
        raise row.error(
            "folder", f"a folder of images below {prefix}{split} ({join_items(folders) or 'there is none'})"
        )
    raise row.error("image_id", f"an image in {prefix}{split}/{folder} of the archive")


def _category_id(row: Row, classes: list[str]) -> int:
    if row["class_name"] not in classes:
        raise row.error("class_name", f"one of the classes {join_items(classes, limit=20)}")
    return classes.index(row["class_name"]) + 1
