"""Which classes of two versions are the same, whatever their ids."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.diff.matching import Changes, Matching


def compare_classes(before: pa.Table, after: pa.Table) -> Changes:
    """Match the rows of two tables of schema.CATEGORIES: by id and name, then by name, then by id.

    So ids that shift renumber classes and change no box, and a class that keeps its id under another name is the same
    one. Kinds: came, went, renamed, renumbered, and regrouped for another supercategory. In order of the names.
    """
    matching = Matching(before.num_rows, after.num_rows)
    for names in (["category_id", "name"], ["name"], ["category_id"]):
        matching.pair_equal(before.select(names).columns, after.select(names).columns)
    matched = _by_name(matching.result(), before, after)
    changed = {"renamed": "name", "renumbered": "category_id", "regrouped": "supercategory"}
    differing = {kind: matched.differing(before[column], after[column]) for kind, column in changed.items()}
    return replace(matched, kinds={**matched.kinds, **differing})


def class_names(classes: Changes, before: pa.Table, after: pa.Table) -> list[str]:
    """What each class is called after, or was called before where it went."""
    names_before, names_after = before["name"].to_pylist(), after["name"].to_pylist()
    return [
        names_after[row_after] if row_after >= 0 else names_before[row_before]
        for row_before, row_after in zip(classes.before, classes.after, strict=True)
    ]


def _by_name(classes: Changes, before: pa.Table, after: pa.Table) -> Changes:
    """In an order that stays when the sides are exchanged, so that the same boxes are matched both ways."""
    keys = [
        list(zip(table["name"].to_pylist(), table["category_id"].to_pylist(), strict=True)) for table in (before, after)
    ]
    of_rows = [
        sorted(side[row] for side, row in zip(keys, rows, strict=True) if row >= 0)
        for rows in zip(classes.before, classes.after, strict=True)
    ]
    order = np.array(sorted(range(len(classes)), key=of_rows.__getitem__), np.int64)
    return Changes(
        classes.before[order], classes.after[order], {kind: where[order] for kind, where in classes.kinds.items()}
    )
