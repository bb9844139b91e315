"""What changed in one dataset between two versions of it."""

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
from pipeline.diff.boxes import BoxRows, compare_boxes
from pipeline.diff.classes import class_names, compare_classes
from pipeline.diff.images import compare_images
from pipeline.diff.matching import Changes, Rows
from pipeline.diff.revisions import DatasetVersion
from pipeline.validation.joins import split_names

TRAIN = "train"

DIGESTS = pa.schema([schema.FILES.field(name) for name in ("image_id", "sha256")])
REASONS = pa.schema([schema.QUARANTINE.field("reason")])


@dataclass(frozen=True)
class Side:
    """A dataset in one version.

    images: schema.IMAGES and a column sha256, null where the digest of the file is not known.
    quarantined: rows that the checks refused, by reason.
    """

    images: pa.Table
    boxes: pa.Table
    categories: pa.Table
    quarantined: Mapping[str, int]

    @classmethod
    def of(cls, tables: Tables, files: pa.Table | None = None, quarantine: pa.Table | None = None) -> "Side":
        """With the digests in `files` and the reasons in `quarantine`, where there are such tables."""
        known = DIGESTS.empty_table() if files is None else files
        rows = pc.index_in(tables.images["image_id"], value_set=known["image_id"].combine_chunks())
        images = tables.images.append_column("sha256", known["sha256"].take(rows))
        reasons = Counter([] if quarantine is None else quarantine["reason"].to_pylist())
        return cls(images, tables.boxes, tables.categories, reasons)

    @classmethod
    def read(cls, version: DatasetVersion, dataset: str) -> "Side":
        """The dataset in that version. Raises BoxlineError where its tables cannot be had or name what is not there."""
        tables = version.tables(dataset)
        _require_comparable(tables, f"{dataset} of {version.name}")
        return cls.of(
            tables,
            version.table(dataset, FILES, DIGESTS),
            version.table(dataset, QUARANTINE, REASONS),
        )


@dataclass(frozen=True)
class Counts:
    """Boxes per class and split, before and after, int64 [classes, splits]."""

    classes: list[str]
    splits: list[str]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


@dataclass(frozen=True)
class Leak:
    """One image file in several splits: as (split, file name), and whether it was in one of them at most before."""

    places: list[tuple[str, str]]
    is_new: bool


@dataclass(frozen=True)
class Difference:
    """Both sides; images, boxes and classes side by side with what happened to them; counts per class; leaks.

    boxes_before, boxes_after: the rows of the boxes, with images and classes as places in `images` and `classes`.
    leaks: image files that are in several splits now. into_train: places in `images` of those that moved there from
        another split.
    """

    before: Side
    after: Side
    images: Changes
    boxes: Changes
    classes: Changes
    boxes_before: BoxRows
    boxes_after: BoxRows
    counts: Counts
    leaks: list[Leak]
    into_train: Rows

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed but ids, the order of rows, and the archives that images lie in."""
        changed = any(changes.changed.any() for changes in (self.images, self.boxes, self.classes))
        return not changed and self.before.quarantined == self.after.quarantined


def compare(before: Side, after: Side) -> Difference:
    """Match images, classes and boxes, in this order, and count."""
    images, classes = compare_images(before.images, after.images), compare_classes(before.categories, after.categories)
    (image_before, image_after), (class_before, class_after) = images.places(), classes.places()
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
        _into_train(images, before.images, after.images),
    )


def _box_rows(side: Side, image_places: Rows, class_places: Rows) -> BoxRows:
    return BoxRows(
        image_places[_rows_of(side.boxes["image_id"], side.images["image_id"])],
        class_places[_rows_of(side.boxes["category_id"], side.categories["category_id"])],
        boxes_xywh_of(side.boxes),
        side.boxes["area"].to_numpy(),
        side.boxes["is_crowd"].to_numpy(),
    )


def _rows_of(keys: pa.ChunkedArray, of_table: pa.ChunkedArray) -> Rows:
    """The row of each key, int64 [keys]; every key is there."""
    return pc.index_in(keys, value_set=of_table.combine_chunks()).to_numpy().astype(np.int64)


def _counts(names: list[str], before: Side, after: Side, classes_before: Rows, classes_after: Rows) -> Counts:
    splits = split_names(before.images, after.images)
    sides = []
    for side, classes in ((before, classes_before), (after, classes_after)):
        of_images = np.array([splits.index(split) for split in side.images["split"].to_pylist()], np.int64)
        of_boxes = of_images[_rows_of(side.boxes["image_id"], side.images["image_id"])]
        cells = np.bincount(classes * len(splits) + of_boxes, minlength=len(names) * len(splits))
        sides.append(cells.reshape(len(names), len(splits)))
    return Counts(names, splits, *sides)


def _leaks(before: pa.Table, after: pa.Table) -> list[Leak]:
    rows = after.filter(pc.is_in(after["sha256"], value_set=_in_several_splits(after)))
    known = set(_in_several_splits(before).to_pylist())
    places: dict[str, list[tuple[str, str]]] = {}
    for digest, split, name in zip(*(rows[key].to_pylist() for key in ("sha256", "split", "file_name")), strict=True):
        places.setdefault(digest, []).append((split, name))
    return sorted(
        (Leak(sorted(where), digest not in known) for digest, where in places.items()),
        key=lambda leak: (not leak.is_new, leak.places),
    )


def _in_several_splits(images: pa.Table) -> pa.Array:
    """Digests of the image files that more than one split has."""
    known = images.filter(pc.is_valid(images["sha256"]))
    splits = known.group_by("sha256").aggregate([("split", "count_distinct")])
    return splits.filter(pc.greater(splits["split_count_distinct"], 1))["sha256"].combine_chunks()


def _into_train(images: Changes, before: pa.Table, after: pa.Table) -> Rows:
    """Of the pairs, those that changed to the split `train`. Another file under the same name is another image."""
    moved = np.flatnonzero(images.kinds["split"] & ~images.kinds["pixels"])
    now = after["split"].to_numpy(zero_copy_only=False)[images.after[moved]]
    return moved[now == TRAIN]


def _require_comparable(tables: Tables, where: str) -> None:
    """Raise BoxlineError unless ids of images and categories are unique, boxes name those that are there, and all
    numbers are finite: NaN differs from itself.
    """
    faults = [*_faulty_keys(tables), *_faulty_numbers(tables.boxes)]
    if faults:
        raise BoxlineError(f"{where}: {faults[0]}. Compare tables that `validate` has checked.")


def _faulty_keys(tables: Tables) -> Iterator[str]:
    for owner, key in (("images", "image_id"), ("categories", "category_id")):
        ids, named = getattr(tables, owner)[key], tables.boxes[key]
        counts = ids.value_counts()
        twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
        unknown = named.filter(pc.invert(pc.is_in(named, value_set=ids.combine_chunks()))).unique().to_pylist()
        if unknown:
            yield f"boxes.parquet names {key} {join_items(unknown)}, which {owner}.parquet does not have"
        if twice:
            yield f"{owner}.parquet has {key} {join_items(twice)} more than once"


def _faulty_numbers(boxes: pa.Table) -> Iterator[str]:
    for name in ("x", "y", "width", "height", "area"):
        bad = boxes.filter(pc.invert(pc.is_finite(boxes[name])))
        if bad.num_rows:
            yield f"boxes.parquet has {name} {bad[name][0]} in box_id {join_items(bad['box_id'].to_pylist())}"
