"""Snapshots for tests, made of rows from tests/support/scenes.py, digests, classes and quarantine reasons."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core import schema
from pipeline.datasets.annotations import Tables
from pipeline.diff.difference import SHA256_COLUMNS, Snapshot
from pipeline.diff.row_matching import Changes
from tests.support.scenes import tables

Row = dict[str, Any]


def snapshot(
    images: Sequence[Row],
    boxes: Sequence[Row] = (),
    *,
    digests: Mapping[int, str | None] | None = None,
    classes: Mapping[int, str] | None = None,
    reasons: Sequence[str] = (),
    outlines: Sequence[str | None] | None = None,
) -> Snapshot:
    """Make a snapshot.

    Args:
        images: rows of images.
        boxes: rows of boxes.
        digests: SHA-256 by image id; by default one per file name.
        classes: names by category id; by default those of the scene.
        reasons: reasons of quarantined rows.
        outlines: outlines of the boxes as JSON; unknown by default.

    """
    rows = tables(list(images), list(boxes))
    categories = rows.categories if classes is None else categories_of(classes)
    file_rows = [
        {
            "image_id": row["image_id"],
            "split": row["split"],
            "sha256": f"digest of {row['file_name']}" if digests is None else digests.get(row["image_id"]),
        }
        for row in images
    ]
    files = pa.Table.from_pylist(file_rows, SHA256_COLUMNS)
    return Snapshot.from_tables(
        Tables(rows.images, rows.boxes, categories),
        files,
        pa.table({"reason": pa.array(reasons, "string")}),
        None if outlines is None else pa.chunked_array([pa.array(outlines, schema.OUTLINE.type)]),
    )


def categories_of(classes: Mapping[int, str], supercategory: str = "thing") -> pa.Table:
    rows = [
        {"category_id": key, "class_index": index, "name": name, "supercategory": supercategory}
        for index, (key, name) in enumerate(classes.items())
    ]
    return pa.Table.from_pylist(rows, schema.CATEGORIES)


def kinds(changes: Changes) -> dict[str, int]:
    """Return the counts of the kinds of change that occur."""
    return {kind: count for kind, count in changes.counts().items() if count}


def pairs(changes: Changes, *kind: str) -> set[tuple[int, int]]:
    """Return rows before and after (-1 for none) that have all those kinds of change."""
    mask = np.all([changes.kinds[name] for name in kind], axis=0)
    return set(zip(changes.before[mask].tolist(), changes.after[mask].tolist(), strict=True))
