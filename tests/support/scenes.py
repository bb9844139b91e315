"""Small tables for tests, with asymmetric sizes and gaps in the ids."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from pipeline.core import schema
from pipeline.datasets.annotations import Tables, categories_table
from pipeline.geometry.boxes import as_boxes
from pipeline.geometry.labeled_boxes import LabeledBoxes


def image(image_id: int, split: str = "val", width: int = 640, height: int = 427) -> dict[str, object]:
    name = f"{image_id:012d}.jpg"
    return {
        "image_id": image_id,
        "split": split,
        "file_name": name,
        "width": width,
        "height": height,
        "archive": f"zips/{split}2017.zip",
        "member": f"{split}2017/{name}",
    }


def box(
    box_id: int,
    image_id: int,
    category_id: int,
    xywh: Sequence[float],
    *,
    is_crowd: bool = False,
    split: str | None = None,
) -> dict[str, object]:
    """A row of boxes. Without a split, `boxes_table` gives it that of its image."""
    x, y, width, height = xywh
    return {
        "box_id": box_id,
        **({} if split is None else {"split": split}),
        "image_id": image_id,
        "category_id": category_id,
        "x": x,
        "y": y,
        "width": width,
        "height": height,
        "area": width * height,
        "is_crowd": is_crowd,
    }


def tables(images: list[dict[str, object]], boxes: list[dict[str, object]]) -> Tables:
    """With categories 2 "cat" and 5 "dog"."""
    return Tables(
        pa.Table.from_pylist(images, schema.IMAGES),
        boxes_table(images, boxes),
        categories_table([5, 2], ["dog", "cat"], ["animal", "animal"]),
    )


def boxes_table(images: Sequence[Mapping[str, object]], boxes: Sequence[Mapping[str, object]]) -> pa.Table:
    """The rows of boxes as a table. A row without a split has that of the first image with its image_id, or val."""
    splits = {row["image_id"]: row["split"] for row in reversed(images)}
    rows = [{"split": splits.get(row["image_id"], "val"), **row} for row in boxes]
    has_outlines = any(schema.OUTLINE.name in row for row in rows)
    return pa.Table.from_pylist(rows, schema.OUTLINED_BOXES if has_outlines else schema.BOXES)


def ground_truth(
    boxes_rel_xywh: ArrayLike, labels: Sequence[int] | None = None, crowds: Sequence[int] = ()
) -> LabeledBoxes:
    """The boxes of one image, with label 0 unless labels are given. `crowds` are the rows of crowd regions."""
    boxes = as_boxes(boxes_rel_xywh)
    is_crowd = np.isin(np.arange(len(boxes)), crowds)
    return LabeledBoxes(boxes, np.array([0] * len(boxes) if labels is None else labels, np.int64), is_crowd=is_crowd)


def detections(rows: list[tuple[int, int, Sequence[float], float]]) -> pa.Table:
    """A table of detections from rows of image_id, category_id, box in xywh and score."""
    names = schema.DETECTIONS.names
    return pa.Table.from_pylist(
        [dict(zip(names, (image_id, category, *xywh, score), strict=True)) for image_id, category, xywh, score in rows],
        schema.DETECTIONS,
    )


NO_ARCHIVES = schema.ARCHIVES.empty_table()
"""The result of `inspect` about archives, for tests of tables alone."""


def files_of(images: pa.Table, **last: object) -> pa.Table:
    """The result of `inspect` for files that agree with their rows; `last` changes the last row."""
    rows = [
        {
            "image_id": row["image_id"],
            "split": row["split"],
            "sha256": f"{row['image_id']:064x}",
            "size_bytes": 1000,
            "format": "JPEG",
            "mode": "RGB",
            "width": row["width"],
            "height": row["height"],
            "orientation": 1,
            "thumbnail": bytes(256),
        }
        for row in images.to_pylist()
    ]
    if rows:
        rows[-1] |= last
    return pa.Table.from_pylist(rows, schema.FILES)
