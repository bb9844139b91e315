"""The rules that rows of the tables keep, as Arrow expressions over whole columns."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.datasets.tables import Tables

OUTSIDE_TOLERANCE_PIXELS = 1.0
"""Published boxes are rounded: many end a fraction of a pixel outside their image."""


@dataclass(frozen=True)
class Context:
    """What a rule may look at beside its own rows: the tables, and schema.FILES with one row per image."""

    tables: Tables
    files: pa.Table


@dataclass(frozen=True)
class Rule:
    """A named check. `broken(table, context)` marks the rows to refuse: bool [rows], no nulls."""

    name: str
    broken: Callable[[pa.Table, Context], pa.Array]


def _duplicated(column: str) -> Callable[[pa.Table, Context], pa.Array]:
    """All rows whose value occurs more than once: which of them is right, no rule can tell."""

    def broken(table: pa.Table, _: Context) -> pa.Array:
        counts = table.group_by(column).aggregate([(column, "count")])
        twice = counts.filter(pc.greater(counts[f"{column}_count"], 1))[column]
        return pc.is_in(table[column], value_set=twice.combine_chunks())

    return broken


def _below_one(column: str) -> Callable[[pa.Table, Context], pa.Array]:
    return lambda table, _: pc.less(table[column], 1)


def _of_files(images: pa.Table, column: str, context: Context) -> pa.Array:
    rows = pc.index_in(images["image_id"], value_set=context.files["image_id"].combine_chunks())
    return context.files[column].take(rows)


def _file_missing(images: pa.Table, context: Context) -> pa.Array:
    return pc.is_null(_of_files(images, "sha256", context))


def _not_decodable(images: pa.Table, context: Context) -> pa.Array:
    return pc.is_valid(_of_files(images, "problem", context))


def _size_differs(images: pa.Table, context: Context) -> pa.Array:
    width, height = (pc.not_equal(images[column], _of_files(images, column, context)) for column in ("width", "height"))
    return pc.or_(width, height)


def _size_not_positive(images: pa.Table, _: Context) -> pa.Array:
    return pc.less(pc.min_element_wise(images["width"], images["height"]), 1)


def _image_unknown(boxes: pa.Table, context: Context) -> pa.Array:
    return pc.invert(pc.is_in(boxes["image_id"], value_set=context.tables.images["image_id"].combine_chunks()))


def _category_unknown(boxes: pa.Table, context: Context) -> pa.Array:
    return pc.invert(
        pc.is_in(boxes["category_id"], value_set=context.tables.categories["category_id"].combine_chunks())
    )


def _not_finite(boxes: pa.Table, _: Context) -> pa.Array:
    finite = pc.is_finite(boxes["x"])
    for column in ("y", "width", "height", "area"):
        finite = pc.and_(finite, pc.is_finite(boxes[column]))
    return pc.invert(finite)


def _box_size_not_positive(boxes: pa.Table, _: Context) -> pa.Array:
    return pc.less_equal(pc.min_element_wise(boxes["width"], boxes["height"]), 0)


def _outside_image(boxes: pa.Table, context: Context) -> pa.Array:
    rows = pc.index_in(boxes["image_id"], value_set=context.tables.images["image_id"].combine_chunks())
    outside = pc.less(pc.min_element_wise(boxes["x"], boxes["y"]), -OUTSIDE_TOLERANCE_PIXELS)
    for start, extent in (("x", "width"), ("y", "height")):
        limit = pc.add(context.tables.images[extent].take(rows).cast(pa.float64()), OUTSIDE_TOLERANCE_PIXELS)
        outside = pc.or_(outside, pc.greater(pc.add(boxes[start], boxes[extent]), limit))
    return outside


IMAGE_RULES = [
    Rule("image_id_below_one", _below_one("image_id")),
    Rule("image_id_duplicated", _duplicated("image_id")),
    Rule("image_file_missing", _file_missing),
    Rule("image_not_decodable", _not_decodable),
    Rule("image_size_not_positive", _size_not_positive),
    Rule("image_size_differs", _size_differs),
]

# In this order: each rule may rely on what the ones before it refused.
BOX_RULES = [
    Rule("box_id_below_one", _below_one("box_id")),
    Rule("box_id_duplicated", _duplicated("box_id")),
    Rule("image_unknown", _image_unknown),
    Rule("category_unknown", _category_unknown),
    Rule("box_not_finite", _not_finite),
    Rule("box_size_not_positive", _box_size_not_positive),
    Rule("box_outside_image", _outside_image),
]
