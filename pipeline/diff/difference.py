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
from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_rows_of, take_or_null
from pipeline.diff.box_matching import BoxRows, compare_boxes
from pipeline.diff.class_matching import class_names, compare_classes
from pipeline.diff.image_matching import compare_images
from pipeline.diff.outlines import outline_numbers
from pipeline.diff.revisions import DatasetVersion
from pipeline.diff.row_matching import Changes, Rows
from pipeline.validation.joins import other_equal_row, split_names

TRAIN = "train"

SHA256_COLUMNS = pa.schema([schema.FILES.field(name) for name in ("image_id", "split", "sha256")])
REASON_COLUMNS = pa.schema([schema.QUARANTINE.field("reason")])


@dataclass(frozen=True)
class Snapshot:
    """The tables of a dataset in one version.

    Attributes:
        images: schema.IMAGES and a column sha256, null if the digest of the file is unknown.
        boxes: schema.BOXES.
        categories: schema.CATEGORIES.
        quarantined: number of quarantined rows by reason.
        outlines: a number for the outline of each box, equal for equal outlines, int64 [boxes]; None if unknown.

    """

    images: pa.Table
    boxes: pa.Table
    categories: pa.Table
    quarantined: Mapping[str, int]
    outlines: NDArray[np.int64] | None

    @classmethod
    def from_tables(
        cls,
        tables: Tables,
        files: pa.Table | None = None,
        quarantine: pa.Table | None = None,
        outlines: pa.ChunkedArray | None = None,
    ) -> "Snapshot":
        """Combine the tables with the SHA-256 in `files`, the reasons in `quarantine`, and the outlines, if given."""
        digests = SHA256_COLUMNS.empty_table() if files is None else files
        rows = image_rows_of(tables.images, digests)
        images = tables.images.append_column("sha256", take_or_null(digests["sha256"], rows))
        reasons = Counter([] if quarantine is None else quarantine["reason"].to_pylist())
        numbers = None if outlines is None else outline_numbers(outlines)
        return cls(images, tables.boxes, tables.categories, reasons, numbers)

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
            version.outlines(dataset),
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
    # Tables of earlier versions of Boxline have no outlines, which is no change.
    with_outlines = before.outlines is not None and after.outlines is not None
    boxes_before = _box_rows(before, image_before, class_before, with_outlines=with_outlines)
    boxes_after = _box_rows(after, image_after, class_after, with_outlines=with_outlines)
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


def _box_rows(snapshot: Snapshot, image_indices: Rows, class_indices: Rows, *, with_outlines: bool) -> BoxRows:
    outlines = snapshot.outlines if with_outlines else None
    return BoxRows(
        image_indices[image_rows_of(snapshot.boxes, snapshot.images)],
        class_indices[_class_rows(snapshot)],
        boxes_xywh_of(snapshot.boxes),
        snapshot.boxes["area"].to_numpy(),
        snapshot.boxes["is_crowd"].to_numpy(),
        np.zeros(snapshot.boxes.num_rows, np.int64) if outlines is None else outlines,
    )


def _class_rows(snapshot: Snapshot) -> Rows:
    """Return the row of the category of each box, int64 [boxes]; all must exist."""
    category_ids = snapshot.categories["category_id"].combine_chunks()
    return pc.index_in(snapshot.boxes["category_id"], value_set=category_ids).to_numpy().astype(np.int64)


def _counts(names: list[str], before: Snapshot, after: Snapshot, classes_before: Rows, classes_after: Rows) -> Counts:
    splits = split_names(before.images, after.images)
    counts = []
    for snapshot, classes in ((before, classes_before), (after, classes_after)):
        split_of_images = np.array([splits.index(split) for split in snapshot.images["split"].to_pylist()], np.int64)
        split_of_boxes = split_of_images[image_rows_of(snapshot.boxes, snapshot.images)]
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
    images, boxes, categories = tables.images, tables.boxes, tables.categories
    if unknown := _images_in_words(boxes, image_rows_of(boxes, images) < 0):
        yield f"boxes.parquet has {unknown}, which images.parquet does not have"
    if repeated := _images_in_words(images, other_equal_row(images, ["split", "image_id"]) >= 0):
        yield f"images.parquet has {repeated} more than once"
    is_known = pc.is_in(boxes["category_id"], value_set=categories["category_id"].combine_chunks())
    if unknown_classes := boxes["category_id"].filter(pc.invert(is_known)).unique().to_pylist():
        yield f"boxes.parquet has category_id {join_items(unknown_classes)}, which categories.parquet does not have"
    repeated_classes = categories["category_id"].filter(pa.array(other_equal_row(categories, ["category_id"]) >= 0))
    if ids := repeated_classes.unique().to_pylist():
        yield f"categories.parquet has category_id {join_items(ids)} more than once"


def _images_in_words(table: pa.Table, selected: NDArray[np.bool_]) -> str:
    """Return the distinct keys of images in the selected rows, such as "image_id 7 of val"; "" for none."""
    rows = table.select(["image_id", "split"]).filter(pa.array(selected))
    keys = dict.fromkeys(zip(rows["image_id"].to_pylist(), rows["split"].to_pylist(), strict=True))
    return f"image_id {join_items(f'{image_id} of {split}' for image_id, split in keys)}" if keys else ""


def _number_violations(boxes: pa.Table) -> Iterator[str]:
    for name in ("x", "y", "width", "height", "area"):
        rows = boxes.filter(pc.invert(pc.is_finite(boxes[name])))
        if rows.num_rows:
            yield f"boxes.parquet has {name} {rows[name][0]} in box_id {join_items(rows['box_id'].to_pylist())}"
