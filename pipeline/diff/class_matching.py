"""Matching of the classes of two versions, independent of their ids."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.diff.row_matching import Changes, Matching


def compare_classes(before: pa.Table, after: pa.Table) -> Changes:
    """Match the rows of two tables of schema.CATEGORIES: by id and name, then by name, then by id.

    Shifted ids therefore renumber classes without changing any box, and a class that keeps its id under another name
    stays the same class.

    Returns:
        Changes of the kinds added, removed, renamed, renumbered, and regrouped (another supercategory), in the order
        of the names.

    """
    matching = Matching(before.num_rows, after.num_rows)
    for names in (["category_id", "name"], ["name"], ["category_id"]):
        matching.pair_equal(before.select(names).columns, after.select(names).columns)
    changes = _sort_by_name(matching.result(), before, after)
    columns = {"renamed": "name", "renumbered": "category_id", "regrouped": "supercategory"}
    differing = {kind: changes.differing(before[column], after[column]) for kind, column in columns.items()}
    return replace(changes, kinds={**changes.kinds, **differing})


def class_names(classes: Changes, before: pa.Table, after: pa.Table) -> list[str]:
    """Return the name of each class after the change, or before it for a removed class."""
    names_before, names_after = before["name"].to_pylist(), after["name"].to_pylist()
    return [
        names_after[row_after] if row_after >= 0 else names_before[row_before]
        for row_before, row_after in zip(classes.before, classes.after, strict=True)
    ]


def _sort_by_name(classes: Changes, before: pa.Table, after: pa.Table) -> Changes:
    """Sort in an order that does not depend on which version is the first, so that boxes match both ways alike."""
    keys = [
        list(zip(table["name"].to_pylist(), table["category_id"].to_pylist(), strict=True)) for table in (before, after)
    ]
    sort_keys = [
        sorted(version_keys[row] for version_keys, row in zip(keys, rows, strict=True) if row >= 0)
        for rows in zip(classes.before, classes.after, strict=True)
    ]
    order = np.array(sorted(range(len(classes)), key=sort_keys.__getitem__), np.int64)
    return Changes(
        classes.before[order], classes.after[order], {kind: mask[order] for kind, mask in classes.kinds.items()}
    )
