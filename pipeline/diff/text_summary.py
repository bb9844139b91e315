"""Summary of a difference in words: lines for a terminal, and totals and notes that the HTML page shows, too."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import join_items
from pipeline.core.formatting import escape_control, format_table, pluralize
from pipeline.diff.difference import Difference
from pipeline.diff.row_matching import Changes
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy

IMAGE_KINDS = {"pixels": "other pixels", "size": "other size", "split": "other split", "renamed": "renamed"}
BOX_KINDS = {
    "moved": "moved",
    "class": "other class",
    "crowd": "other crowd flag",
    "area": "other area",
    "outline": "other outline",
}
CLASS_KINDS = {"renamed": "renamed", "renumbered": "other id", "regrouped": "other supercategory"}
"""Labels of the kinds of change of rows that are in both versions."""

CLASS_NOTES: dict[str, tuple[str, Callable[[dict[str, Any], dict[str, Any]], str]]] = {
    "added": ("added", lambda _, after: after["name"]),
    "removed": ("removed", lambda before, _: before["name"]),
    "renamed": ("with another name", lambda before, after: f"{before['name']} -> {after['name']}"),
    "renumbered": (
        "with another id",
        lambda before, after: f"{after['name']} {before['category_id']} -> {after['category_id']}",
    ),
    "regrouped": (
        "with another supercategory",
        lambda before, after: f"{after['name']} {before['supercategory']} -> {after['supercategory']}",
    ),
}

MAX_COUNTS = 20
MAX_NAMES = 5
MAX_NAME_LENGTH = 50


@dataclass(frozen=True)
class Total:
    """Numbers of rows of one table.

    Attributes:
        name: the table, such as "boxes".
        before: rows of the first version.
        after: rows of the second version.
        added: rows only in the second version; None if rows are not matched.
        removed: rows only in the first version; None if rows are not matched.
        changed: what changed in rows of both versions, in words.

    """

    name: str
    before: int
    after: int
    added: int | None
    removed: int | None
    changed: str


@dataclass(frozen=True)
class Count:
    """Numbers of boxes of one class in one split."""

    name: str
    split: str
    before: int
    after: int


def format_summary(difference: Difference) -> str:
    """Return lines with totals, notes and changed counts, the last two of limited length, or "no differences"."""
    if difference.is_empty:
        return "no differences"
    parts = _total_lines(difference), notes(difference), _count_lines(difference)
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def totals(difference: Difference) -> list[Total]:
    """Return the totals of images, boxes, classes and quarantined rows, without those that did not change."""
    before, after = difference.before, difference.after
    rows = [
        _total("images", before.images, after.images, difference.images, IMAGE_KINDS),
        _total("boxes", before.boxes, after.boxes, difference.boxes, {**BOX_KINDS, "moved": _moved_label(difference)}),
        _total("classes", before.categories, after.categories, difference.classes, CLASS_KINDS),
    ]
    reasons = {
        reason: after.quarantined.get(reason, 0) - before.quarantined.get(reason, 0)
        for reason in sorted({*before.quarantined, *after.quarantined})
    }
    changed = ", ".join(f"{count:+,} {reason}" for reason, count in reasons.items() if count)
    quarantined = Total(
        "quarantined", sum(before.quarantined.values()), sum(after.quarantined.values()), None, None, changed
    )
    return [row for row in (*rows, quarantined) if row.added or row.removed or row.changed]


def notes(difference: Difference) -> list[str]:
    """Return sentences about leaks between splits, changed classes, and images that could not be compared."""
    return [*_leak_notes(difference), *_class_notes(difference), *_missing_digest_notes(difference)]


def changed_counts(difference: Difference) -> list[Count]:
    """Return the counts of boxes that changed, the largest difference first."""
    counts = difference.counts
    cells = np.argwhere(counts.before != counts.after)
    changed = [
        Count(
            counts.classes[row], counts.splits[column], int(counts.before[row, column]), int(counts.after[row, column])
        )
        for row, column in cells
    ]
    return sorted(changed, key=lambda count: -abs(count.after - count.before))


def printable_name(name: str) -> str:
    r"""Return a name from the data on one line, truncated, and with escaped control characters.

    >>> print(printable_name("a\x1b[31mb"), len(printable_name("long" * 100)))
    a\x1b[31mb 50
    """
    plain = escape_control(name)
    return plain if len(plain) <= MAX_NAME_LENGTH else plain[: MAX_NAME_LENGTH - 1] + "…"


def _total_lines(difference: Difference) -> list[str]:
    rows = [("", "before", "after", "added", "removed", "")]
    for total in totals(difference):
        added, removed = ("" if count is None else f"{count:,}" for count in (total.added, total.removed))
        rows.append((total.name, f"{total.before:,}", f"{total.after:,}", added, removed, total.changed))
    return format_table(rows, "<>>>><")


def _count_lines(difference: Difference) -> list[str]:
    counts = changed_counts(difference)
    if not counts:
        return []
    rows = [("class", "split", "before", "after", "difference")]
    for count in counts[:MAX_COUNTS]:
        change = f"{count.after - count.before:+,}"
        rows.append((printable_name(count.name), count.split, f"{count.before:,}", f"{count.after:,}", change))
    more = len(counts) - MAX_COUNTS
    return [*format_table(rows, "<<>>>"), *([f"and {more} more"] if more > 0 else [])]


def _total(name: str, before: pa.Table, after: pa.Table, changes: Changes, labels: Mapping[str, str]) -> Total:
    counts = changes.counts()
    changed_pairs = changes.changed & ~changes.kinds["added"] & ~changes.kinds["removed"]
    parts = [f"{counts[kind]:,} {label}" for kind, label in labels.items() if counts[kind]]
    changed = f"{changed_pairs.sum():,} changed: {', '.join(parts)}" if len(parts) > 1 else "".join(parts)
    return Total(name, before.num_rows, after.num_rows, counts["added"], counts["removed"], changed)


def _moved_label(difference: Difference) -> str:
    """Return the label of moved boxes with the range of IoU between before and after."""
    rows = np.flatnonzero(difference.boxes.kinds["moved"])
    if not len(rows):
        return BOX_KINDS["moved"]
    before, after = difference.boxes.before[rows], difference.boxes.after[rows]
    xyxy_before = xywh_to_xyxy(difference.boxes_before.boxes_xywh[before])
    xyxy_after = xywh_to_xyxy(difference.boxes_after.boxes_xywh[after])
    iou = paired_iou(xyxy_before, xyxy_after)
    return f"{BOX_KINDS['moved']} (IoU {iou.min():.2f} to {iou.max():.2f})"


def _leak_notes(difference: Difference) -> Iterator[str]:
    new = [leak for leak in difference.leaks if leak.is_new]
    if new:
        files = (" = ".join(f"{split}/{printable_name(name)}" for split, name in leak.locations) for leak in new)
        count = pluralize(len(new), "image file", "image files")
        yield f"Leak: {count} now in several splits: {join_items(files, MAX_NAMES)}."
    if len(difference.moved_into_train):
        moved = difference.moved_into_train
        names = difference.after.images["file_name"].take(difference.images.after[moved]).to_pylist()
        splits = difference.before.images["split"].take(difference.images.before[moved]).to_pylist()
        files = (f"{printable_name(name)} from {split}" for name, split in zip(names, splits, strict=True))
        yield f"Leak: {pluralize(len(moved), 'image', 'images')} moved into train: {join_items(files, MAX_NAMES)}."


def _class_notes(difference: Difference) -> Iterator[str]:
    # Row -1 stands for a missing class; it selects the empty row that is appended here.
    before, after = ([*snapshot.categories.to_pylist(), {}] for snapshot in (difference.before, difference.after))
    classes = difference.classes
    for kind, (label, describe) in CLASS_NOTES.items():
        indices = np.flatnonzero(classes.kinds[kind])
        if len(indices):
            descriptions = (describe(before[classes.before[index]], after[classes.after[index]]) for index in indices)
            yield f"Classes {label}: {join_items(map(printable_name, descriptions), MAX_NAMES)}."


def _missing_digest_notes(difference: Difference) -> Iterator[str]:
    images = difference.images
    is_pair = (images.before >= 0) & (images.after >= 0)
    without_digest = [
        pc.is_null(snapshot.images["sha256"]).to_numpy()[rows[is_pair]]
        for snapshot, rows in ((difference.before, images.before), (difference.after, images.after))
    ]
    count = int(np.logical_or(*without_digest).sum())
    if count:
        number = pluralize(count, "image", "images")
        yield f"{number} without a digest in one version: their pixels could not be compared."
