"""Reads the digits' CSV without header: file name, label, then xmin, ymin, xmax, ymax as fractions of the image."""

import re
from pathlib import Path

import numpy as np

from pipeline.archives.image_sizes import image_size
from pipeline.archives.zip_archive import Archive
from pipeline.datasets.annotations import Tables, boxes_table, categories_table, images_table
from pipeline.datasets.digits.source import IMAGE_ARCHIVES, LABEL_FILES, image_member
from pipeline.datasets.formats.csv_file import Row, read_file, read_rows
from pipeline.datasets.interfaces import TableReader
from pipeline.geometry.boxes import xyxy_to_xywh

COLUMNS = ["file name", "label", "xmin", "ymin", "xmax", "ymax"]


class DigitsReader(TableReader):
    """Reads both splits, train first. Images and boxes are numbered from 1 in the published order."""

    def read(self, download: Path) -> Tables:
        """Both splits below `download`."""
        splits: list[str] = []
        file_names: list[str] = []
        sizes: list[tuple[int, int]] = []
        members: list[str] = []
        digits: list[int] = []
        boxes_xywh = []
        for split, label_file in LABEL_FILES.items():
            path = download / label_file
            rows = read_rows(str(path), read_file(path), COLUMNS)
            # All rows are parsed before the first image is opened, so that a malformed row fails early.
            labels = [(_digit(row), [row.fraction(column) for column in COLUMNS[2:]]) for row in rows]
            archive = Archive(download / IMAGE_ARCHIVES[split])
            for row, (digit, box_rel_xyxy) in zip(rows, labels, strict=True):
                member = archive.get(row["file name"], image_member(split, ""))
                width, height = image_size(member)
                splits.append(split)
                file_names.append(row["file name"])
                sizes.append((width, height))
                members.append(member.name if member else image_member(split, row["file name"]))
                digits.append(digit)
                boxes_xywh.append(xyxy_to_xywh(np.array(box_rel_xyxy) * [width, height, width, height])[0])
        image_ids = range(1, len(members) + 1)
        return Tables(
            images=images_table(
                image_ids, splits, file_names, sizes, [IMAGE_ARCHIVES[split] for split in splits], members
            ),
            # Category 0 means "no match" in COCO tools, so digit 0 is category 1 and class 0.
            boxes=boxes_table(splits, image_ids, [digit + 1 for digit in digits], boxes_xywh),
            categories=categories_table(range(1, 11), [str(digit) for digit in range(10)], ["digit"] * 10),
        )


def _digit(row: Row) -> int:
    match = re.fullmatch(r"([0-9])(?:\.0*)?", row["label"], re.ASCII)
    if match is None:
        raise row.error("label", "a digit from 0 to 9")
    return int(match[1])
