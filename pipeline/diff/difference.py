"""Comparison of two versions of a dataset."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.parquet import FILES, QUARANTINE
from pipeline.datasets.annotations import Tables, boxes_xywh_of
from pipeline.diff.box_matching import BoxRows, compare_boxes
from pipeline.diff.class_matching import class_names, compare_classes
from pipeline.diff.image_matching import compare_images
from pipeline.diff.revisions import DatasetVersion
from pipeline.diff.row_matching import Changes, Rows
from pipeline.validation.joins import split_names

TRAIN = "train"

SHA256_COLUMNS = pa.schema([schema.FILES.field(name) for name in ("image_id", "sha256")])
REASON_COLUMNS = pa.schema([schema.QUARANTINE.field("reason")])


@dataclass(frozen=True)
class Snapshot:
    """The tables of a dataset in one version.

    Attributes:
        images: schema.IMAGES and a column sha256, null if the digest of the file is unknown.
        boxes: schema.BOXES.
        categories: schema.CATEGORIES.
        quarantined: number of quarantined rows by reason.

    """

    images: pa.Table
    boxes: pa.Table
    categories: pa.Table
    quarantined: Mapping[str, int]

    @classmethod
    def from_tables(
        cls, tables: Tables, files: pa.Table | None = None, quarantine: pa.Table | None = None
    ) -> "Snapshot":
        """Combine the tables with the SHA-256 in `files` and the reasons in `quarantine`, if these are given."""
        digests = SHA256_COLUMNS.empty_table() if files is None else files
        rows = pc.index_in(tables.images["image_id"], value_set=digests["image_id"].combine_chunks())
        images = tables.images.append_column("sha256", digests["sha256"].take(rows))
        reasons = Counter([] if quarantine is None else quarantine["reason"].to_pylist())
        return cls(images, tables.boxes, tables.categories, reasons)

    @classmethod
    def read(cls, version: DatasetVersion, dataset: str) -> "Snapshot":
        """Read a dataset of a version.

        Raises:
            BoxlineError: if tables are missing, unreadable or inconsistent.

        """
        tables = version.tables(dataset)
        _require_comparable(tables, f"{dataset} of {version.name}")
        return cls.from_tables(
            tables,
            version.table(dataset, FILES, SHA256_COLUMNS),
            version.table(dataset, QUARANTINE, REASON_COLUMNS),
        )


@dataclass(frozen=True)
class Counts:
    """Numbers of boxes per class and split, before and after, int64 [classes, splits]."""

    classes: list[str]
    splits: list[str]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


@dataclass(frozen=True)
class Leak:
    """An image file that is in several splits.

    Attributes:
        locations: its splits and file names.
        is_new: whether it was in at most one split before.

    """

    locations: list[tuple[str, str]]
    is_new: bool


@dataclass(frozen=True)
class Difference:
    """The differences between two snapshots.

    Attributes:
        before: the first snapshot.
        after: the second snapshot.
        images: changes of the rows of `images`.
        boxes: changes of the rows of `boxes`.
        classes: changes of the rows of `categories`.
        boxes_before: the boxes before; their images and classes are indices into the two lists of changes.
        boxes_after: the boxes after, likewise.
        counts: numbers of boxes.
        leaks: image files that are in several splits after.
        moved_into_train: indices into `images` of those that another split had before.

    """

    before: Snapshot
    after: Snapshot
    images: Changes
    boxes: Changes
    classes: Changes
    boxes_before: BoxRows
    boxes_after: BoxRows
    counts: Counts
    leaks: list[Leak]
    moved_into_train: Rows

    @property
    def is_empty(self) -> bool:
        """Return whether at most ids, row order and the archives of images differ."""
        changed = any(changes.changed.any() for changes in (self.images, self.boxes, self.classes))
        return not changed and self.before.quarantined == self.after.quarantined


def compare(before: Snapshot, after: Snapshot) -> Difference:
    """Compare two snapshots: match images and classes, then boxes, and count."""
    images, classes = compare_images(before.images, after.images), compare_classes(before.categories, after.categories)
    (image_before, image_after), (class_before, class_after) = images.indices(), classes.indices()
    boxes_before = _box_rows(before, image_before, class_before)
    boxes_after = _box_rows(after, image_after, class_after)
    names = class_names(classes, before.categories, after.categories)
    return Difference(
        before,
        after,
        images,
        compare_boxes(boxes_before, boxes_after),
        classes,
        boxes_before,
        boxes_after,
        _counts(names, before, after, boxes_before.classes, boxes_after.classes),
        _leaks(before.images, after.images),
        _moved_into_train(images, after.images),
    )


def _box_rows(snapshot: Snapshot, image_indices: Rows, class_indices: Rows) -> BoxRows:
    return BoxRows(
        image_indices[_rows_of(snapshot.boxes["image_id"], snapshot.images["image_id"])],
        class_indices[_rows_of(snapshot.boxes["category_id"], snapshot.categories["category_id"])],
        boxes_xywh_of(snapshot.boxes),
        snapshot.boxes["area"].to_numpy(),
        snapshot.boxes["is_crowd"].to_numpy(),
    )


def _rows_of(foreign_keys: pa.ChunkedArray, keys: pa.ChunkedArray) -> Rows:
    """Return the row of each foreign key in the table of the keys, int64 [foreign_keys]; all must exist."""
    return pc.index_in(foreign_keys, value_set=keys.combine_chunks()).to_numpy().astype(np.int64)


def _counts(names: list[str], before: Snapshot, after: Snapshot, classes_before: Rows, classes_after: Rows) -> Counts:
    splits = split_names(before.images, after.images)
    counts = []
    for snapshot, classes in ((before, classes_before), (after, classes_after)):
        split_of_images = np.array([splits.index(split) for split in snapshot.images["split"].to_pylist()], np.int64)
        split_of_boxes = split_of_images[_rows_of(snapshot.boxes["image_id"], snapshot.images["image_id"])]
        cells = np.bincount(classes * len(splits) + split_of_boxes, minlength=len(names) * len(splits))
        counts.append(cells.reshape(len(names), len(splits)))
    return Counts(names, splits, *counts)


def _leaks(before: pa.Table, after: pa.Table) -> list[Leak]:
    rows = after.filter(pc.is_in(after["sha256"], value_set=_in_several_splits(after)))
    leaked_before = set(_in_several_splits(before).to_pylist())
    locations: dict[str, list[tuple[str, str]]] = {}
    for digest, split, name in zip(*(rows[key].to_pylist() for key in ("sha256", "split", "file_name")), strict=True):
        locations.setdefault(digest, []).append((split, name))
    return sorted(
        (Leak(sorted(of_digest), digest not in leaked_before) for digest, of_digest in locations.items()),
        key=lambda leak: (not leak.is_new, leak.locations),
    )


def _in_several_splits(images: pa.Table) -> pa.Array:
    """Return the SHA-256 of the image files that are in more than one split."""
    with_digest = images.filter(pc.is_valid(images["sha256"]))
    splits = with_digest.group_by("sha256").aggregate([("split", "count_distinct")])
    return splits.filter(pc.greater(splits["split_count_distinct"], 1))["sha256"].combine_chunks()


def _moved_into_train(images: Changes, after: pa.Table) -> Rows:
    """Return the pairs whose split changed to `train`; not if the file changed, too: that is another image."""
    moved = np.flatnonzero(images.kinds["split"] & ~images.kinds["pixels"])
    split_after = after["split"].to_numpy(zero_copy_only=False)[images.after[moved]]
    return moved[split_after == TRAIN]


def _require_comparable(tables: Tables, source: str) -> None:
    """Raise a BoxlineError if keys are ambiguous or unknown, or numbers are not finite: NaN differs from itself."""
    violations = [*_key_violations(tables), *_number_violations(tables.boxes)]
    if violations:
        raise BoxlineError(f"{source}: {violations[0]}. Compare tables that `validate` has checked.")


def _key_violations(tables: Tables) -> Iterator[str]:
    for owner, key in (("images", "image_id"), ("categories", "category_id")):
        keys, foreign_keys = getattr(tables, owner)[key], tables.boxes[key]
        counts = keys.value_counts()
        repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
        is_known = pc.is_in(foreign_keys, value_set=keys.combine_chunks())
        unknown = foreign_keys.filter(pc.invert(is_known)).unique().to_pylist()
        if unknown:
            yield f"boxes.parquet has {key} {join_items(unknown)}, which {owner}.parquet does not have"
        if repeated:
            yield f"{owner}.parquet has {key} {join_items(repeated)} more than once"


def _number_violations(boxes: pa.Table) -> Iterator[str]:
    for name in ("x", "y", "width", "height", "area"):
        rows = boxes.filter(pc.invert(pc.is_finite(boxes[name])))
        if rows.num_rows:
            yield f"boxes.parquet has {name} {rows[name][0]} in box_id {join_items(rows['box_id'].to_pylist())}"
