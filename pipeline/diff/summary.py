"""What changed in a dataset, counted and put into words: lines for a terminal, rows for the page."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import join_items
from pipeline.core.formatting import escape_control, format_table, pluralize
from pipeline.diff.boxes import iou_of_pairs
from pipeline.diff.difference import Difference
from pipeline.diff.matching import Changes

IMAGE_KINDS = {"pixels": "other pixels", "size": "other size", "split": "other split", "renamed": "renamed"}
BOX_KINDS = {"moved": "moved", "label": "other class", "crowd": "other crowd flag", "area": "other outline"}
CLASS_KINDS = {"renamed": "renamed", "renumbered": "other id", "regrouped": "other supercategory"}
"""What changed in a row that is in both versions."""

CLASS_NOTES: dict[str, tuple[str, Callable[[dict[str, Any], dict[str, Any]], str]]] = {
    "came": ("that came", lambda _, after: after["name"]),
    "went": ("that went", lambda before, _: before["name"]),
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

NUM_COUNTS = 20
NUM_NAMES = 5
NAME_CHARACTERS = 50


@dataclass(frozen=True)
class Total:
    """Rows of one table before and after, and what happened to those that stayed, in words.

    came, went: None where rows are not followed one by one.
    """

    name: str
    before: int
    after: int
    came: int | None
    went: int | None
    changed: str


@dataclass(frozen=True)
class Count:
    """Boxes of one class in one split."""

    name: str
    split: str
    before: int
    after: int


def summary(difference: Difference) -> str:
    """Lines about what changed, names up to a bounded number; "no differences" where nothing did."""
    if difference.is_empty:
        return "no differences"
    parts = _totals(difference), notes(difference), _counts(difference)
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def totals(difference: Difference) -> list[Total]:
    """Of images, boxes, classes and the quarantine, those that changed."""
    before, after = difference.before, difference.after
    rows = [
        _total("images", before.images, after.images, difference.images, IMAGE_KINDS),
        _total("boxes", before.boxes, after.boxes, difference.boxes, {**BOX_KINDS, "moved": _moved(difference)}),
        _total("classes", before.categories, after.categories, difference.classes, CLASS_KINDS),
    ]
    reasons = {
        reason: after.quarantined.get(reason, 0) - before.quarantined.get(reason, 0)
        for reason in sorted({*before.quarantined, *after.quarantined})
    }
    gained = ", ".join(f"{count:+,} {reason}" for reason, count in reasons.items() if count)
    refused = Total(
        "quarantined", sum(before.quarantined.values()), sum(after.quarantined.values()), None, None, gained
    )
    return [row for row in (*rows, refused) if row.came or row.went or row.changed]


def notes(difference: Difference) -> list[str]:
    """Sentences: leaks between splits, classes by name, and what could not be compared."""
    return [*_leaks(difference), *_classes(difference), *_unknown(difference)]


def changed_counts(difference: Difference) -> list[Count]:
    """Where the number of boxes of a class changed in a split; the largest difference first."""
    counts = difference.counts
    cells = np.argwhere(counts.before != counts.after)
    found = [
        Count(
            counts.classes[row], counts.splits[column], int(counts.before[row, column]), int(counts.after[row, column])
        )
        for row, column in cells
    ]
    return sorted(found, key=lambda count: -abs(count.after - count.before))


def shown(name: str) -> str:
    r"""A name from somewhere on one line of bounded length, without what a terminal would obey.

    >>> print(shown("a\x1b[31mb"), len(shown("long" * 100)))
    a\x1b[31mb 50
    """
    plain = escape_control(name)
    return plain if len(plain) <= NAME_CHARACTERS else plain[: NAME_CHARACTERS - 1] + "…"


def _totals(difference: Difference) -> list[str]:
    rows = [("", "before", "after", "came", "went", "")]
    for total in totals(difference):
        came, went = ("" if count is None else f"{count:,}" for count in (total.came, total.went))
        rows.append((total.name, f"{total.before:,}", f"{total.after:,}", came, went, total.changed))
    return format_table(rows, "<>>>><")


def _counts(difference: Difference) -> list[str]:
    counts = changed_counts(difference)
    if not counts:
        return []
    rows = [("class", "split", "before", "after", "difference")]
    for count in counts[:NUM_COUNTS]:
        gained = f"{count.after - count.before:+,}"
        rows.append((shown(count.name), count.split, f"{count.before:,}", f"{count.after:,}", gained))
    more = len(counts) - NUM_COUNTS
    return [*format_table(rows, "<<>>>"), *([f"and {more} more"] if more > 0 else [])]


def _total(name: str, before: pa.Table, after: pa.Table, changes: Changes, words: Mapping[str, str]) -> Total:
    counts = changes.counts()
    kept = changes.changed & ~changes.kinds["came"] & ~changes.kinds["went"]
    parts = [f"{counts[kind]:,} {word}" for kind, word in words.items() if counts[kind]]
    changed = f"{kept.sum():,} changed: {', '.join(parts)}" if len(parts) > 1 else "".join(parts)
    return Total(name, before.num_rows, after.num_rows, counts["came"], counts["went"], changed)


def _moved(difference: Difference) -> str:
    """With how far: the range of overlaps of the boxes before and after."""
    rows = np.flatnonzero(difference.boxes.kinds["moved"])
    if not len(rows):
        return BOX_KINDS["moved"]
    before, after = difference.boxes.before[rows], difference.boxes.after[rows]
    iou = iou_of_pairs(difference.boxes_before.boxes_xywh[before], difference.boxes_after.boxes_xywh[after])
    return f"{BOX_KINDS['moved']} (IoU {iou.min():.2f} to {iou.max():.2f})"


def _leaks(difference: Difference) -> Iterator[str]:
    new = [leak for leak in difference.leaks if leak.is_new]
    if new:
        files = (" = ".join(f"{split}/{shown(name)}" for split, name in leak.places) for leak in new)
        count = pluralize(len(new), "image file", "image files")
        yield f"Leak: {count} now in several splits: {join_items(files, NUM_NAMES)}."
    if len(difference.into_train):
        before, after = difference.images.before[difference.into_train], difference.images.after[difference.into_train]
        names = difference.after.images["file_name"].take(after).to_pylist()
        splits = difference.before.images["split"].take(before).to_pylist()
        files = (f"{shown(name)} from {split}" for name, split in zip(names, splits, strict=True))
        yield f"Leak: {pluralize(len(before), 'image', 'images')} moved into train: {join_items(files, NUM_NAMES)}."


def _classes(difference: Difference) -> Iterator[str]:
    # Row -1, of a class that is not there, is the one that is added at the end.
    before, after = ([*side.categories.to_pylist(), {}] for side in (difference.before, difference.after))
    classes = difference.classes
    for kind, (words, tell) in CLASS_NOTES.items():
        places = np.flatnonzero(classes.kinds[kind])
        if len(places):
            told = (tell(before[classes.before[place]], after[classes.after[place]]) for place in places)
            yield f"Classes {words}: {join_items(map(shown, told), NUM_NAMES)}."


def _unknown(difference: Difference) -> Iterator[str]:
    both = (difference.images.before >= 0) & (difference.images.after >= 0)
    without = [
        pc.is_null(side.images["sha256"]).to_numpy()[rows[both]]
        for side, rows in ((difference.before, difference.images.before), (difference.after, difference.images.after))
    ]
    count = int(np.logical_or(*without).sum())
    if count:
        images = pluralize(count, "image", "images")
        yield f"{images} without a digest on one side: whether the pixels changed is not known."
