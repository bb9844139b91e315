"""The rectangles' CSV as tables: file name, then top, left, height and width in pixels."""

from pathlib import Path

import pyarrow as pa

from pipeline.archives.zip_archive import Archive
from pipeline.core import schema
from pipeline.datasets.annotations import Tables, boxes_table, categories_table
from pipeline.datasets.formats.csv_file import file_content, headed_rows, image_row
from pipeline.datasets.rectangles.source import COLUMNS, IMAGE_ARCHIVES, LABEL_FILES, image_member

RECTANGLE = 1
"""The only category."""


def read(download: Path) -> Tables:
    """Both splits below `download`. Images and boxes are numbered from 1 in the order of the CSV, train first."""
    images: list[dict[str, object]] = []
    boxes_xywh = []
    for split, label_file in LABEL_FILES.items():
        path = download / label_file
        rows = headed_rows(str(path), file_content(path), COLUMNS, only=True)
        boxes_xywh += [[row.whole_number(column) for column in ("left", "top", "width", "height")] for row in rows]
        archive = Archive(download / IMAGE_ARCHIVES[split])
        for row in rows:
            member = image_member(split, row["file_name"])
            if member not in archive:
                raise row.error("file_name", f"an image in the folder {split} of {archive.path}")
            images.append(image_row(len(images) + 1, split, row["file_name"], IMAGE_ARCHIVES[split], archive[member]))
    return Tables(
        images=pa.Table.from_pylist(images, schema.IMAGES),
        boxes=boxes_table(range(1, len(images) + 1), [RECTANGLE] * len(images), boxes_xywh),
        categories=categories_table([RECTANGLE], ["rectangle"], ["shape"]),
    )
