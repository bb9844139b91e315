"""Versions of a dataset by hand: rows as tests/support/scenes.py makes them, digests, classes and quarantine."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core import schema
from pipeline.datasets.annotations import Tables
from pipeline.diff.difference import Side
from pipeline.diff.matching import Changes
from tests.support.scenes import tables

Row = dict[str, Any]


def side(
    images: Sequence[Row],
    boxes: Sequence[Row] = (),
    *,
    digests: Mapping[int, str | None] | None = None,
    classes: Mapping[int, str] | None = None,
    reasons: Sequence[str] = (),
) -> Side:
    """`digests` by image id, unless given that of the file name; `classes` by category id; reasons in quarantine."""
    made = tables(list(images), list(boxes))
    categories = made.categories if classes is None else categories_of(classes)
    sums = {row["image_id"]: f"digest of {row['file_name']}" for row in images} if digests is None else digests
    rows = [{"image_id": image_id, "sha256": digest} for image_id, digest in sums.items()]
    files = pa.Table.from_pylist(rows, pa.schema([schema.FILES.field(name) for name in ("image_id", "sha256")]))
    return Side.of(
        Tables(made.images, made.boxes, categories), files, pa.table({"reason": pa.array(reasons, "string")})
    )


def categories_of(classes: Mapping[int, str], supercategory: str = "thing") -> pa.Table:
    rows = [
        {"category_id": key, "class_index": place, "name": name, "supercategory": supercategory}
        for place, (key, name) in enumerate(classes.items())
    ]
    return pa.Table.from_pylist(rows, schema.CATEGORIES)


def kinds(changes: Changes) -> dict[str, int]:
    """Counts of the kinds that occur."""
    return {kind: count for kind, count in changes.counts().items() if count}


def pairs(changes: Changes, *kind: str) -> set[tuple[int, int]]:
    """Rows before and after, -1 for none, of what has all those kinds."""
    where = np.all([changes.kinds[name] for name in kind], axis=0)
    return set(zip(changes.before[where].tolist(), changes.after[where].tolist(), strict=True))
