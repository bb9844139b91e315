"""The digits' headerless CSV as tables: file name, label, xmin, ymin, xmax, ymax in fractions of the image."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.archives.zip_archive import Archive
from pipeline.core import schema
from pipeline.datasets.annotations import Tables, boxes_table, categories_table
from pipeline.datasets.digits.source import IMAGE_ARCHIVES, LABEL_FILES, image_member
from pipeline.datasets.formats.csv_file import Row, bare_rows, file_content, image_row
from pipeline.geometry.boxes import xyxy_to_xywh

COLUMNS = ["file name", "label", "xmin", "ymin", "xmax", "ymax"]


def read(download: Path) -> Tables:
    """Both splits below `download`. Images and boxes are numbered from 1 in the published order, train first."""
    images: list[dict[str, object]] = []
    boxes_xywh = []
    digits = []
    for split, label_file in LABEL_FILES.items():
        path = download / label_file
        rows = bare_rows(str(path), file_content(path), COLUMNS)
        # Every row before the first image: a bad row shows at once.
        labels = [(_digit(row), [row.fraction(column) for column in COLUMNS[2:]]) for row in rows]
        archive = Archive(download / IMAGE_ARCHIVES[split])
        for row, (digit, corners_rel_xyxy) in zip(rows, labels, strict=True):
            member = image_member(split, row["file name"])
            if member not in archive:
                raise row.error("file name", f"an image in {archive.path}")
            image = image_row(len(images) + 1, split, row["file name"], IMAGE_ARCHIVES[split], archive[member])
            images.append(image)
            scale = [image["width"], image["height"]] * 2
            boxes_xywh.append(xyxy_to_xywh(np.array(corners_rel_xyxy) * scale)[0])
            digits.append(digit)
    return Tables(
        images=pa.Table.from_pylist(images, schema.IMAGES),
        # COCO tools take category 0 for "no match", so digit 0 is category 1 and class 0.
        boxes=boxes_table(range(1, len(images) + 1), [digit + 1 for digit in digits], boxes_xywh),
        categories=categories_table(range(1, 11), [str(digit) for digit in range(10)], ["digit"] * 10),
    )


def _digit(row: Row) -> int:
    if row["label"] not in set("0123456789"):
        raise row.error("label", "a digit from 0 to 9")
    return int(row["label"])
