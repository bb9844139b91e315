"""What every reader yields, whatever the dataset was published as."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from pipeline.core import schema
from pipeline.core.parquet import read_table, write_table
from pipeline.geometry.boxes import Boxes, as_boxes


@dataclass(frozen=True)
class Tables:
    """Images, boxes and categories, with the schemas of pipeline/core/schema.py."""

    images: pa.Table
    boxes: pa.Table
    categories: pa.Table

    def write(self, folder: Path) -> None:
        """Three Parquet files."""
        write_table(folder / "images.parquet", self.images, schema.IMAGES)
        write_table(folder / "boxes.parquet", self.boxes, schema.BOXES)
        write_table(folder / "categories.parquet", self.categories, schema.CATEGORIES)

    @classmethod
    def read(cls, folder: Path) -> "Tables":
        """What `write` wrote, schemas checked."""
        return cls(
            read_table(folder / "images.parquet", schema.IMAGES),
            read_table(folder / "boxes.parquet", schema.BOXES),
            read_table(folder / "categories.parquet", schema.CATEGORIES),
        )

    def split(self, name: str) -> "Tables":
        """The images of that split with their boxes; all categories."""
        return self._with_images(pc.equal(self.images["split"], name))

    def of_images(self, image_ids: NDArray[np.int64]) -> "Tables":
        """Those images with their boxes; all categories."""
        return self._with_images(pc.is_in(self.images["image_id"], value_set=pa.array(image_ids)))

    def _with_images(self, chosen: pa.Array) -> "Tables":
        images = self.images.filter(chosen)
        their_boxes = pc.is_in(self.boxes["image_id"], value_set=images["image_id"].combine_chunks())
        return Tables(images, self.boxes.filter(their_boxes), self.categories)


def categories_table(ids: Sequence[int], names: Sequence[str], supercategories: Sequence[str]) -> pa.Table:
    """Categories in order of their ids, with contiguous class indices from 0."""
    order = np.argsort(ids)
    columns = [
        [ids[i] for i in order],
        range(len(ids)),
        [names[i] for i in order],
        [supercategories[i] for i in order],
    ]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema.CATEGORIES, strict=True)], schema.CATEGORIES)


def boxes_table(image_ids: Sequence[int], category_ids: Sequence[int], boxes_xywh: ArrayLike) -> pa.Table:
    """Boxes in pixels, [N, 4], numbered from 1 in that order; no outlines, so the area is the box's, and no crowds."""
    ids = np.arange(1, len(image_ids) + 1)
    x, y, width, height = as_boxes(boxes_xywh).T
    columns = [ids, image_ids, category_ids, x, y, width, height, width * height, np.zeros(len(ids), bool)]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema.BOXES, strict=True)], schema.BOXES)


def boxes_xywh_of(table: pa.Table) -> Boxes:
    """Columns x, y, width, height of boxes or detections as [N, 4]."""
    return np.stack([table[name].to_numpy() for name in ("x", "y", "width", "height")], axis=1)


def image_scale_of(table: pa.Table, images: pa.Table) -> Boxes:
    """Width, height, width, height of the image of each row of `table`, [N, 4]: divides boxes_xywh into fractions."""
    rows = pc.index_in(table["image_id"], value_set=images["image_id"].combine_chunks())
    sizes = [images[name].take(rows).to_numpy() for name in ("width", "height")]
    return np.tile(np.stack(sizes, axis=1).astype(np.float64), 2)


def without_crowds(boxes: pa.Table) -> pa.Table:
    """The rows of boxes that are objects, and no crowd regions."""
    return boxes.filter(pc.invert(boxes["is_crowd"]))


def rows_by_image(boxes: pa.Table, image_ids: Iterable[int]) -> Iterator[NDArray[np.int64]]:
    """The rows of `boxes` that belong to each image, in the order of the table; int64 [N], N may be 0."""
    box_image_ids = boxes["image_id"].to_numpy()
    order = np.argsort(box_image_ids, kind="stable")
    wanted = np.fromiter(image_ids, np.int64)
    starts = np.searchsorted(box_image_ids[order], wanted, side="left")
    ends = np.searchsorted(box_image_ids[order], wanted, side="right")
    for start, end in zip(starts, ends, strict=True):
        yield order[start:end]
