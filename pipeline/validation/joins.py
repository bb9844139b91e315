"""The tables as checks of rows see them: each row with its number and with what belongs to it."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables

ROW_NUMBER = "row_number"
"""Counted from 1 in the published order, so that a person finds the row again."""


def images_with_files(images: pa.Table, files: pa.Table) -> pa.Table:
    """The images, each with its row number and what `inspect` found of its file.

    Adds file_width, file_height, sha256, orientation, thumbnail and problem, all null where nothing could be read.
    Raises BoxlineError where `files` (schema.FILES) is that of other images.
    """
    if not files["image_id"].equals(images["image_id"]):
        raise BoxlineError(
            f"files.parquet describes {files.num_rows} images, and not the {images.num_rows} of images.parquet. "
            "Run `dvc repro inspect`, which looks at them anew."
        )
    table = images.append_column(ROW_NUMBER, _numbers(images))
    for name in ("sha256", "orientation", "thumbnail", "problem"):
        table = table.append_column(name, files[name])
    return table.append_column("file_width", files["width"]).append_column("file_height", files["height"])


def boxes_with_images(tables: Tables, accepted_images: pa.Table) -> pa.Table:
    """The boxes, each with its row number and what the tables say of its image and its category.

    Adds file_name, image_width and image_height, null where the image is unknown; image_refused, whether it is known
    and not among `accepted_images`; and class_index, null where the category is unknown.
    """
    image_rows = pc.index_in(tables.boxes["image_id"], value_set=tables.images["image_id"].combine_chunks())
    class_rows = pc.index_in(tables.boxes["category_id"], value_set=tables.categories["category_id"].combine_chunks())
    accepted = pc.is_in(tables.boxes["image_id"], value_set=accepted_images["image_id"].combine_chunks())
    # As codes of one list of names: a name per box would be most of this table.
    file_names = pa.DictionaryArray.from_arrays(
        image_rows.combine_chunks(), tables.images["file_name"].combine_chunks()
    )
    return (
        tables.boxes.append_column(ROW_NUMBER, _numbers(tables.boxes))
        .append_column("image_refused", pc.and_not(pc.is_valid(image_rows), accepted))
        .append_column("file_name", file_names)
        .append_column("image_width", tables.images["width"].take(image_rows))
        .append_column("image_height", tables.images["height"].take(image_rows))
        .append_column("class_index", tables.categories["class_index"].take(class_rows))
    )


def split_names(*images: pa.Table) -> list[str]:
    """The splits that there are: train, val, test. Any others stand before test, which is what everybody scores."""
    names = {name for table in images for name in pc.unique(table["split"]).to_pylist()}
    return sorted(names, key=lambda name: (name != "train", name == "test", name))


def repeated(column: pa.ChunkedArray) -> pa.Array:
    """Which rows have a value that other rows have too."""
    counts = column.value_counts()
    return pc.is_in(column, value_set=counts.filter(pc.greater(counts.field("counts"), 1)).field("values"))


def first_equal(table: pa.Table, columns: Sequence[str]) -> NDArray[np.int64]:
    """For each row the index of the first row that has the same values, which is its own where none came before.

    Columns of numbers without nulls.
    >>> first_equal(pa.table({"a": [4, 5, 4], "b": [0.5, 0.5, 0.5]}), ["a", "b"]).tolist()
    [0, 1, 0]
    """
    values = [table[name].to_numpy() for name in columns]
    # As bytes one row is one value; -0.0 and 0.0 are equal and have different ones.
    rows = np.rec.fromarrays([column + 0.0 if column.dtype.kind == "f" else column for column in values])
    keys = pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.dtype.itemsize), len(rows), [None, pa.py_buffer(rows)])
    return np.asarray(pc.index_in(keys, value_set=keys), np.int64)


def _numbers(table: pa.Table) -> pa.Array:
    return pa.array(np.arange(1, table.num_rows + 1))
