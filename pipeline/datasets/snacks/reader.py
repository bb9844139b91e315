"""Reads the snacks' annotations: one CSV file per split, with no, one or several rows per image.

The classes are the folders of the training images. If all of these are published classes, the categories are the whole
published list, so that a subset of the dataset that lacks some folders keeps the ids of the others. A row of any other
class is an error: a model could neither learn nor predict it.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from pipeline.archives.image_sizes import image_size
from pipeline.archives.member_lookup import NameLookupError, with_slashes
from pipeline.archives.zip_archive import Archive, Member
from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets.annotations import Tables, boxes_table, categories_table, images_table
from pipeline.datasets.formats.csv_file import MAX_CSV_BYTES, Row, read_rows_with_header
from pipeline.datasets.interfaces import TableReader
from pipeline.datasets.snacks.source import (
    ARCHIVE,
    CLASSES,
    COLUMNS,
    SPLITS,
    annotation_member,
    image_member,
)
from pipeline.geometry.boxes import as_boxes, xyxy_to_xywh

ImageKey = tuple[str, str, str]
"""Split, folder and image id, which together identify an image."""


class SnacksReader(TableReader):
    """Reads all splits, train first; images without rows are included.

    Images are numbered from 1 in order of folder and image id, boxes from 1 in order of the rows. An image that only
    rows name is included, too: `inspect` finds that it has no file.
    """

    def read(self, download: Path) -> Tables:
        """All splits of the archive below `download`."""
        archive = Archive(download / ARCHIVE)
        prefix = _prefix(archive)
        members = _image_members(archive, prefix)
        classes = _classes(members)
        box_keys, category_ids, boxes_rel_xyxy = [], [], []
        for split in SPLITS:
            for row in _rows(archive, prefix, split):
                box_keys.append(_image_key(row, archive, prefix, split, members))
                category_ids.append(_category_id(row, classes))
                boxes_rel_xyxy.append([row.fraction(column) for column in ("x_min", "y_min", "x_max", "y_max")])
        keys = sorted({*members, *box_keys}, key=lambda key: (SPLITS.index(key[0]), key))
        id_by_key = {key: image_id for image_id, key in enumerate(keys, 1)}
        image_ids = [id_by_key[key] for key in box_keys]
        sizes = [image_size(members.get(key)) for key in keys]
        scale = np.tile(np.array(sizes).reshape(-1, 2), 2)[np.array(image_ids, np.int64) - 1]
        return Tables(
            images=images_table(
                image_ids=range(1, len(keys) + 1),
                splits=[split for split, _, _ in keys],
                file_names=[f"{folder}/{image_id}.jpg" for _, folder, image_id in keys],
                sizes=sizes,
                archives=[ARCHIVE] * len(keys),
                members=[members[key].name if key in members else image_member(prefix, *key) for key in keys],
            ),
            boxes=boxes_table(
                [split for split, _, _ in box_keys],
                image_ids,
                category_ids,
                xyxy_to_xywh(as_boxes(boxes_rel_xyxy) * scale),
            ),
            categories=categories_table(range(1, len(classes) + 1), classes, ["snack"] * len(classes)),
        )


def _prefix(archive: Archive) -> str:
    """The folder that holds everything; empty or with a slash at its end."""
    try:
        member = archive.find(annotation_member("", SPLITS[0]))
    except NameLookupError as error:
        raise BoxlineError(
            f"{archive.path}: {annotation_member('', SPLITS[0])} not found{error.hint}. "
            "Expected the snacks' archive; see pipeline/datasets/snacks/source.py for its layout."
        ) from None
    folder, slash, _ = with_slashes(member.name).rpartition("/")
    return folder + slash


def _image_members(archive: Archive, prefix: str) -> dict[ImageKey, Member]:
    """The images of the archive."""
    keys = ((_key_of_member(name, prefix), name) for name in archive.names())
    return {key: archive[name] for key, name in keys if key}


def _key_of_member(name: str, prefix: str) -> ImageKey | None:
    # A leading dot is excluded: "..", and the "._x.jpg" that some archivers add.
    pattern = rf"{re.escape(prefix)}({'|'.join(SPLITS)})/([^/.][^/]*)/([^/.][^/]*)\.jpg"
    match = re.fullmatch(pattern, with_slashes(name), flags=re.IGNORECASE)
    return (match[1].lower(), match[2], match[3]) if match else None


def _classes(keys: Iterable[ImageKey]) -> list[str]:
    """Names in alphabetical order; the category ids count them from 1."""
    folders = {folder for split, folder, _ in keys if split == SPLITS[0]}
    return CLASSES if set(map(str.lower, folders)) <= set(CLASSES) else sorted(folders)


def _rows(archive: Archive, prefix: str, split: str) -> list[Row]:
    member = annotation_member(prefix, split)
    return read_rows_with_header(f"{archive.path}: member {member}", archive[member].read(MAX_CSV_BYTES), COLUMNS)


def _image_key(row: Row, archive: Archive, prefix: str, split: str, members: Mapping[ImageKey, Member]) -> ImageKey:
    """The key of the image of a row. It is a new one if the archive has the folder but not the image."""
    key = (split, row["folder"], row["image_id"])
    if key in members:
        return key
    member = archive.get(f"{row['folder']}/{row['image_id']}.jpg", f"{prefix}{split}/")
    found = _key_of_member(member.name, prefix) if member else None
    if found:
        return found
    folders = sorted({folder for image_split, folder, _ in members if image_split == split})
    if row["folder"] not in folders:
        raise row.error(
            "folder", f"a folder of images below {prefix}{split} ({join_items(folders) or 'there is none'})"
        )
    return key


def _category_id(row: Row, classes: list[str]) -> int:
    if row["class_name"] not in classes:
        raise row.error("class_name", f"one of the classes {join_items(classes, limit=20)}")
    return classes.index(row["class_name"]) + 1
