"""Writes the tables of any dataset in COCO's instances format, for tools that read this format only."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa

from pipeline.core import schema
from pipeline.core.atomic_files import atomic_write
from pipeline.datasets.annotations import Tables, boxes_xywh_of
from pipeline.datasets.formats.coco import Annotation, Category, Image

CHUNK_ROWS = 1 << 16
"""Rows that are Python objects at the same time."""

OUTLINE = schema.OUTLINE.name
INFO = {
    "description": "Exported by Boxline",
    "url": "",
    "version": "1.0",
    "year": 0,
    "contributor": "",
    "date_created": "",
}
"""The keys of COCO's `info`. No date, so that the same tables give the same file."""

Entries = Iterator[Image | Annotation | Category]


def write_instances(path: Path, tables: Tables) -> None:
    """Write an instances file atomically. `decode` reads the same tables from it.

    Images and boxes keep their order and ids, numbers are not rounded, and outlines are written as they were published;
    `segmentation` is an empty list where there is none. The file has all keys that COCO's own files have, because some
    readers need `info` and `licenses`.

    Args:
        path: the file to write.
        tables: the tables, whose boxes may have the column of outlines.

    """
    lists = {
        "images": _images(tables.images),
        "annotations": _annotations(tables.boxes),
        "categories": _categories(tables.categories),
    }
    with atomic_write(path) as partial, partial.open("wb") as file:
        file.write(b'{"info":' + msgspec.json.encode(INFO) + b',"licenses":[]')
        for key, entries in lists.items():
            file.write(f',"{key}":['.encode())
            _write(file, entries)
            file.write(b"]")
        file.write(b"}\n")


def _write(file: BinaryIO, entries: Entries) -> None:
    encoder = msgspec.json.Encoder()
    for index, entry in enumerate(entries):
        file.write(b",\n" if index else b"\n")
        file.write(encoder.encode(entry))


def _images(images: pa.Table) -> Entries:
    columns = images.select(["image_id", "file_name", "width", "height"])
    for batch in columns.to_batches(CHUNK_ROWS):
        yield from map(Image, *(column.to_pylist() for column in batch))


def _annotations(boxes: pa.Table) -> Entries:
    for start in range(0, boxes.num_rows, CHUNK_ROWS):
        rows = boxes.slice(start, CHUNK_ROWS)
        ids = (rows[name].to_pylist() for name in ("box_id", "image_id", "category_id"))
        boxes_xywh = map(tuple, boxes_xywh_of(rows).tolist())
        crowd_flags = map(int, rows["is_crowd"].to_pylist())
        outlines = rows[OUTLINE].to_pylist() if OUTLINE in rows.column_names else [None] * rows.num_rows
        segmentations = (msgspec.Raw((outline or "[]").encode()) for outline in outlines)
        yield from map(Annotation, *ids, boxes_xywh, rows["area"].to_pylist(), crowd_flags, segmentations)


def _categories(categories: pa.Table) -> Entries:
    yield from map(Category, *(categories[name].to_pylist() for name in ("category_id", "name", "supercategory")))
