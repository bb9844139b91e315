"""Joins the tables for the checks of rows: each row with its number and the columns of related tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables, image_rows_of, take_or_null

KEY = ["image_id", "split"]
"""The columns that identify an image."""

ROW_NUMBER = "row_number"
"""Counted from 1 in the published order, so that a row can be found in the published file."""


def images_with_files(images: pa.Table, files: pa.Table) -> pa.Table:
    """Join images with their files.

    Args:
        images: schema.IMAGES.
        files: schema.FILES of the same images in the same order.

    Returns:
        The images with their row numbers and file_width, file_height, sha256, orientation, thumbnail and problem. These
        are null if the file could not be read.

    Raises:
        BoxlineError: if `files` describes other images.

    """
    if not files.select(KEY).equals(images.select(KEY)):
        raise BoxlineError(
            f"files.parquet describes other images ({files.num_rows}) than images.parquet ({images.num_rows}). "
            "Run `dvc repro inspect` to inspect these."
        )
    table = images.append_column(ROW_NUMBER, _row_numbers(images))
    for name in ("sha256", "orientation", "thumbnail", "problem"):
        table = table.append_column(name, files[name])
    return table.append_column("file_width", files["width"]).append_column("file_height", files["height"])


def boxes_with_images(tables: Tables, accepted_images: pa.Table) -> pa.Table:
    """Join boxes with their images and categories.

    Args:
        tables: all tables as published.
        accepted_images: the images that passed the checks, schema.IMAGES.

    Returns:
        The boxes with their row numbers and file_name, image_width and image_height, null if the image is unknown;
        image_rejected, whether the image is known and not accepted; and class_index, null if the category is unknown.
        Without the column `outline`, which the checks would copy again and again.

    """
    image_rows = image_rows_of(tables.boxes, tables.images)
    is_known, is_accepted = image_rows >= 0, image_rows_of(tables.boxes, accepted_images) >= 0
    class_rows = pc.index_in(tables.boxes["category_id"], value_set=tables.categories["category_id"].combine_chunks())
    # Dictionary-encoded, because a name per box would be most of this table.
    file_names = pa.DictionaryArray.from_arrays(
        pa.array(image_rows, pa.int32(), mask=~is_known), tables.images["file_name"].combine_chunks()
    )
    return (
        tables.boxes.select(schema.BOXES.names)
        .append_column(ROW_NUMBER, _row_numbers(tables.boxes))
        .append_column("image_rejected", pa.array(is_known & ~is_accepted))
        .append_column("file_name", file_names)
        .append_column("image_width", take_or_null(tables.images["width"], image_rows))
        .append_column("image_height", take_or_null(tables.images["height"], image_rows))
        .append_column("class_index", tables.categories["class_index"].take(class_rows))
    )


def split_names(*images: pa.Table) -> list[str]:
    """The names of all splits in the order train, others, test: published scores refer to the last one."""
    names = {name for table in images for name in pc.unique(table["split"]).to_pylist()}
    return sorted(names, key=lambda name: (name != "train", name == "test", name))


def other_equal_row(table: pa.Table, columns: Sequence[str]) -> NDArray[np.int64]:
    """The index of another row with the same values, int64 [rows]: the first such row; -1 if there is none.

    >>> other_equal_row(pa.table({"a": [4, 5, 4, 4]}), ["a"]).tolist()
    [2, -1, 0, 0]
    """
    others = first_equal_row(table, columns)
    repetitions = np.flatnonzero(others != np.arange(len(others)))
    others[others == np.arange(len(others))] = -1
    # Backward, so that the first row of each value ends with the first of its repetitions.
    others[others[repetitions[::-1]]] = repetitions[::-1]
    return others


def first_equal_row(table: pa.Table, columns: Sequence[str]) -> NDArray[np.int64]:
    """The index of the first row with the same values, int64 [rows]; the row itself if no earlier row has them.

    The columns must be numbers or text, without nulls.

    >>> first_equal_row(pa.table({"a": [4, 5, 4], "b": [0.5, 0.5, 0.5]}), ["a", "b"]).tolist()
    [0, 1, 0]
    """
    values = [_numbers(table[name]) for name in columns]
    # The bytes of a row are compared as one value. Adding 0.0 makes -0.0 and 0.0, which are equal, equal as bytes too.
    rows = np.rec.fromarrays([column + 0.0 if column.dtype.kind == "f" else column for column in values])
    keys = pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.dtype.itemsize), len(rows), [None, pa.py_buffer(rows)])
    return np.asarray(pc.index_in(keys, value_set=keys), np.int64)


def _numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """The values, or numbers that are equal where texts are."""
    if pa.types.is_string(column.type):
        column = column.combine_chunks().dictionary_encode().indices
    return np.asarray(column.to_numpy())


def _row_numbers(table: pa.Table) -> pa.Array:
    return pa.array(np.arange(1, table.num_rows + 1))
