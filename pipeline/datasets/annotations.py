"""The tables that every reader returns, whatever format its dataset is published in."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from pipeline.core import schema
from pipeline.core.parquet import read_table, write_table
from pipeline.geometry.boxes import Boxes, as_boxes

NO_SPLIT = ""
"""The split of an image that its files assign to none. `pipeline.datasets.splits` replaces it."""


@dataclass(frozen=True)
class Tables:
    """The annotations of a dataset.

    Attributes:
        images: schema.IMAGES.
        boxes: schema.BOXES, or schema.OUTLINED_BOXES.
        categories: schema.CATEGORIES.

    """

    images: pa.Table
    boxes: pa.Table
    categories: pa.Table

    def write(self, folder: Path) -> None:
        """Write one Parquet file per table into `folder`. Boxes without the column of outlines have none."""
        boxes = self.boxes
        if schema.OUTLINE.name not in boxes.column_names:
            boxes = boxes.append_column(schema.OUTLINE, pa.nulls(boxes.num_rows, schema.OUTLINE.type))
        write_table(folder / "images.parquet", self.images, schema.IMAGES)
        write_table(folder / "boxes.parquet", boxes, schema.OUTLINED_BOXES)
        write_table(folder / "categories.parquet", self.categories, schema.CATEGORIES)

    @classmethod
    def read(cls, folder: Path, *, with_outlines: bool = False) -> "Tables":
        """Read the files that `write` has written, and check their schemas.

        The outlines, which are most of the boxes of COCO, are read on request only.
        """
        left_out = () if with_outlines else (schema.OUTLINE.name,)
        return cls(
            read_table(folder / "images.parquet", schema.IMAGES),
            read_table(folder / "boxes.parquet", schema.OUTLINED_BOXES, left_out),
            read_table(folder / "categories.parquet", schema.CATEGORIES),
        )

    def split(self, name: str) -> "Tables":
        """The images of one split with their boxes, and all categories."""
        return self._select_images(pc.equal(self.images["split"], name))

    def of_images(self, image_ids: NDArray[np.int64]) -> "Tables":
        """The images with these ids with their boxes, and all categories; for tables of one split.

        Raises:
            ValueError: if the tables have several splits, where an id may be that of several images.

        """
        _require_one_split(self.images)
        return self._select_images(pc.is_in(self.images["image_id"], value_set=pa.array(image_ids)))

    def _select_images(self, selected: pa.Array) -> "Tables":
        images = self.images.filter(selected)
        has_image = pa.array(image_rows_of(self.boxes, images) >= 0)
        return Tables(images, self.boxes.filter(has_image), self.categories)


@dataclass(frozen=True)
class Reading:
    """What a reader finds.

    Attributes:
        tables: images, boxes and categories. Images without a split have NO_SPLIT.
        image_locations: schema.LOCATIONS, row by row those of the images; no rows if the reader states none.
        box_locations: the same of the boxes.
        refused: what could not become a row of the tables, schema.REFUSED.
        passed_over: files and entries that are not used, which nobody needs to correct, schema.PASSED_OVER.

    """

    tables: Tables
    image_locations: pa.Table = field(default_factory=schema.LOCATIONS.empty_table)
    box_locations: pa.Table = field(default_factory=schema.LOCATIONS.empty_table)
    refused: pa.Table = field(default_factory=schema.REFUSED.empty_table)
    passed_over: pa.Table = field(default_factory=schema.PASSED_OVER.empty_table)

    def write(self, folder: Path) -> None:
        """Write one Parquet file per table into `folder`."""
        self.tables.write(folder)
        for name, (file_name, columns) in READING_FILES.items():
            write_table(folder / file_name, getattr(self, name), columns)

    @classmethod
    def read(cls, folder: Path) -> "Reading":
        """Read the files that `write` has written, with outlines, and check their schemas."""
        others = {name: read_table(folder / file_name, columns) for name, (file_name, columns) in READING_FILES.items()}
        return cls(Tables.read(folder, with_outlines=True), **others)


READING_FILES = {
    "image_locations": ("image_locations.parquet", schema.LOCATIONS),
    "box_locations": ("box_locations.parquet", schema.LOCATIONS),
    "refused": ("refused.parquet", schema.REFUSED),
    "passed_over": ("passed_over.parquet", schema.PASSED_OVER),
}
"""The file of each table of a Reading besides Tables, and its schema."""


def images_table(
    image_ids: Sequence[int],
    splits: Sequence[str],
    file_names: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    archives: Sequence[str],
    members: Sequence[str],
) -> pa.Table:
    """A table schema.IMAGES from its columns. `sizes` are width and height in pixels."""
    columns = [
        image_ids,
        splits,
        file_names,
        [width for width, _ in sizes],
        [height for _, height in sizes],
        archives,
        members,
    ]
    return _table(columns, schema.IMAGES)


def categories_table(ids: Sequence[int], names: Sequence[str], supercategories: Sequence[str]) -> pa.Table:
    """A table schema.CATEGORIES: categories in ascending order of ids, with contiguous class indices from 0."""
    order = np.argsort(ids)
    columns = [
        [ids[i] for i in order],
        range(len(ids)),
        [names[i] for i in order],
        [supercategories[i] for i in order],
    ]
    return _table(columns, schema.CATEGORIES)


def boxes_table(
    splits: Sequence[str], image_ids: Sequence[int], category_ids: Sequence[int], boxes_xywh: ArrayLike
) -> pa.Table:
    """A table schema.BOXES for datasets without outlines and crowd regions.

    Args:
        splits: the split of each box, [N].
        image_ids: the image of each box, [N].
        category_ids: the category of each box, [N].
        boxes_xywh: pixels, [N, 4].

    Returns:
        Boxes numbered from 1 in the given order; the area is that of the box.

    """
    box_ids = np.arange(1, len(image_ids) + 1)
    x, y, width, height = as_boxes(boxes_xywh).T
    is_crowd = np.zeros(len(box_ids), bool)
    columns = [box_ids, splits, image_ids, category_ids, x, y, width, height, width * height, is_crowd]
    return _table(columns, schema.BOXES)


def image_rows_of(table: pa.Table, images: pa.Table) -> NDArray[np.int64]:
    """The row in `images` of the image of each row of `table`, int64 [N]; -1 if there is none.

    This is the only join of tables by image: the key of an image is its split and image_id.

    Args:
        table: a table with columns split and image_id, such as boxes or files.
        images: schema.IMAGES, or another table with these columns. Of several rows with one key, the first counts.

    """
    image_rows = np.full(table.num_rows, -1, np.int64)
    for split in pc.unique(images["split"]):
        rows, candidates = (np.flatnonzero(pc.equal(one["split"], split).to_numpy()) for one in (table, images))
        ids, known_ids = table["image_id"].take(pa.array(rows)), images["image_id"].take(pa.array(candidates))
        found = pc.index_in(ids, value_set=known_ids.combine_chunks()).fill_null(-1).to_numpy()
        image_rows[rows] = np.append(candidates, -1)[found]
    return image_rows


def boxes_xywh_of(table: pa.Table) -> Boxes:
    """The columns x, y, width and height of a table of boxes or detections, pixels, [N, 4]."""
    return np.stack([table[name].to_numpy() for name in ("x", "y", "width", "height")], axis=1)


def take_or_null(column: pa.ChunkedArray, rows: NDArray[np.int64]) -> pa.ChunkedArray:
    """The values of a column in these rows; null for the row -1, which `image_rows_of` gives."""
    return column.take(pa.array(rows, mask=rows < 0))


def image_scale_of(table: pa.Table, images: pa.Table) -> Boxes:
    """Width, height, width and height in pixels of the image of each row of `table`, [N, 4].

    Boxes in pixels divided by it are relative to their image.
    """
    rows = image_rows_of(table, images)
    sizes = [take_or_null(images[name], rows).to_numpy() for name in ("width", "height")]
    return np.tile(np.stack(sizes, axis=1).astype(np.float64), 2)


def without_crowds(boxes: pa.Table) -> pa.Table:
    """The boxes that are single objects."""
    return boxes.filter(pc.invert(boxes["is_crowd"]))


def rows_by_image(boxes: pa.Table, image_ids: Iterable[int]) -> Iterator[NDArray[np.int64]]:
    """The row indices of the boxes of each image, in the order of the table; int64 [N], N may be 0.

    Args:
        boxes: a table of boxes of one split, or of detections, which have no column `split`.
        image_ids: the images.

    Raises:
        ValueError: if the boxes are of several splits, where an id may be that of several images.

    """
    if "split" in boxes.schema.names:
        _require_one_split(boxes)
    box_image_ids = boxes["image_id"].to_numpy()
    order = np.argsort(box_image_ids, kind="stable")
    wanted = np.fromiter(image_ids, np.int64)
    starts = np.searchsorted(box_image_ids[order], wanted, side="left")
    ends = np.searchsorted(box_image_ids[order], wanted, side="right")
    for start, end in zip(starts, ends, strict=True):
        yield order[start:end]


def _require_one_split(table: pa.Table) -> None:
    splits = pc.unique(table["split"]).to_pylist()
    if len(splits) > 1:
        raise ValueError(f"image ids are unique within a split only, received rows of {', '.join(splits)}")


def _table(columns: Sequence[Any], columns_schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(column, field.type) for column, field in zip(columns, columns_schema, strict=True)]
    return pa.table(arrays, columns_schema)
