"""Tables of any dataset in COCO's instances format, for tools that read nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import pyarrow as pa

from pipeline.core.atomic_files import atomic_write
from pipeline.datasets.annotations import Tables, boxes_xywh_of
from pipeline.datasets.formats.coco import Annotation, Category, Image

CHUNK_ROWS = 1 << 16
"""Rows that are objects at one time."""

Entries = Iterator[Image | Annotation | Category]


def write_instances(path: Path, tables: Tables) -> None:
    """Images and boxes of `tables` in the published order, with their ids and unrounded numbers; categories by id.

    Reading the file gives the same tables. Outlines are not in tables, so annotations have no `segmentation`.
    """
    parts = {
        "images": _images(tables.images),
        "annotations": _annotations(tables.boxes),
        "categories": _categories(tables.categories),
    }
    with atomic_write(path) as partial, partial.open("wb") as file:
        for number, (key, entries) in enumerate(parts.items()):
            file.write(f'{"," if number else "{"}"{key}":['.encode())
            _write(file, entries)
            file.write(b"]")
        file.write(b"}\n")


def _write(file: BinaryIO, entries: Entries) -> None:
    encoder = msgspec.json.Encoder()
    for number, entry in enumerate(entries):
        file.write(b",\n" if number else b"\n")
        file.write(encoder.encode(entry))


def _images(images: pa.Table) -> Entries:
    columns = images.select(["image_id", "file_name", "width", "height"])
    for batch in columns.to_batches(CHUNK_ROWS):
        yield from map(Image, *(column.to_pylist() for column in batch))


def _annotations(boxes: pa.Table) -> Entries:
    for start in range(0, boxes.num_rows, CHUNK_ROWS):
        rows = boxes.slice(start, CHUNK_ROWS)
        ids = (rows[name].to_pylist() for name in ("box_id", "image_id", "category_id"))
        corners = map(tuple, boxes_xywh_of(rows).tolist())
        crowds = map(int, rows["is_crowd"].to_pylist())
        yield from map(Annotation, *ids, corners, rows["area"].to_pylist(), crowds)


def _categories(categories: pa.Table) -> Entries:
    yield from map(Category, *(categories[name].to_pylist() for name in ("category_id", "name", "supercategory")))
