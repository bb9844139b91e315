"""Reads the rectangles' CSV: file name, then top, left, height and width in pixels."""

from pathlib import Path

from pipeline.archives.image_sizes import image_size
from pipeline.archives.zip_archive import Archive
from pipeline.datasets.annotations import Tables, boxes_table, categories_table, images_table
from pipeline.datasets.formats.csv_file import read_file, read_rows_with_header
from pipeline.datasets.interfaces import TableReader
from pipeline.datasets.rectangles.source import COLUMNS, IMAGE_ARCHIVES, LABEL_FILES, image_member

RECTANGLE_ID = 1
"""The only category."""


class RectanglesReader(TableReader):
    """Reads both splits, train first. Images and boxes are numbered from 1 in the order of the CSV."""

    def read(self, download: Path) -> Tables:
        """Both splits below `download`."""
        splits: list[str] = []
        file_names: list[str] = []
        sizes: list[tuple[int, int]] = []
        members: list[str] = []
        boxes_xywh: list[list[int]] = []
        for split, label_file in LABEL_FILES.items():
            path = download / label_file
            rows = read_rows_with_header(str(path), read_file(path), COLUMNS)
            boxes_xywh += [[row.integer(column) for column in ("left", "top", "width", "height")] for row in rows]
            archive = Archive(download / IMAGE_ARCHIVES[split])
            for row in rows:
                member = archive.get(row["file_name"], image_member(split, ""))
                splits.append(split)
                file_names.append(row["file_name"])
                sizes.append(image_size(member))
                members.append(member.name if member else image_member(split, row["file_name"]))
        image_ids = range(1, len(members) + 1)
        return Tables(
            images=images_table(
                image_ids, splits, file_names, sizes, [IMAGE_ARCHIVES[split] for split in splits], members
            ),
            boxes=boxes_table(splits, image_ids, [RECTANGLE_ID] * len(members), boxes_xywh),
            categories=categories_table([RECTANGLE_ID], ["rectangle"], ["shape"]),
        )
