"""Assigns the images of a dataset to splits, as its files have them, by shares or in folds, and limits their number.

All that counts are the names of the images, their classes and a seed, never the order of files or rows. Every choice
goes by the SHA-256 of seed and name, so it is the same on every machine, and an image that is added changes little.
"""

import hashlib
import itertools
import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from pipeline.core.config import Config, Seed, parse_config
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.formatting import format_percent, pluralize
from pipeline.datasets.annotations import NO_SPLIT, Reading, Tables, image_rows_of, take_or_null, without_crowds
from pipeline.datasets.formats.collector import passed_over_table
from pipeline.datasets.formats.split_names import SPLITS

logger = logging.getLogger(__name__)

SEED = 2017

Classes = tuple[tuple[int, int], ...]
"""The numbers of classes, and the number of images of a group that have an object of each."""

Share = Annotated[float, Field(ge=0, lt=1, examples=[0.1])]

SPECIAL_GROUPS = ("folder", "similar")


class _SplitConfig(Config):
    """What all kinds have.

    Attributes:
        seed: of the assignment, and of the images that the key `limit` of the dataset keeps.

    """

    seed: Seed = SEED


class PublishedSplits(_SplitConfig):
    """The splits of the files.

    Attributes:
        train: the split of the files to train with. Another one than train is for files that have no split train.

    """

    kind: Literal["published"]
    train: Literal["train", "val", "test"] = "train"


class _GroupedSplitConfig(_SplitConfig):
    """An assignment that keeps groups together.

    Attributes:
        group_by: which images stay together. None: each stands alone. "folder": those of one folder. "similar": those
            that are almost equal, and those that are almost equal to these. Any other text is a regular expression (of
            RE2) with a group in parentheses: images belong together whose names have the same text there, and those
            whose names do not match stand alone.

    """

    group_by: Annotated[str | None, Field(max_length=1000, examples=["folder"])] = None

    @field_validator("group_by")
    @classmethod
    def _require_group(cls, group_by: str | None) -> str | None:
        if group_by is not None and group_by not in SPECIAL_GROUPS:
            try:
                pc.match_substring_regex(pa.array([""]), pattern=group_by)  # alone, so that its parentheses are closed
                _captured([""], group_by)
            except pa.ArrowInvalid as error:
                reason = str(error).removeprefix("Invalid regular expression: ")
                if "parenthesized subexpressions" in reason:
                    reason = "it has no group"
                raise ValueError(
                    f"received {group_by!r}, expected folder, similar, or a regular expression with a group in "
                    f"parentheses ({reason})"
                ) from None
        return group_by


class RandomSplits(_GroupedSplitConfig):
    """Shares of the images by a seed, with about the same shares of each class.

    Attributes:
        val: fraction of the images, 0..1.
        test: the same. None: the split test of the files, if they have one, and `val` is a fraction
            of the other images.

    """

    kind: Literal["random"]
    val: Share = 0.2
    test: Annotated[Share | None, Field(examples=[0.1])] = None

    @model_validator(mode="after")
    def _require_training_images(self) -> "RandomSplits":
        if self.val + (self.test or 0) >= 1:
            raise ValueError(f"received val {self.val} and test {self.test}, expected a sum below 1: the rest trains")
        return self


class FoldSplits(_GroupedSplitConfig):
    """Folds of equal size for cross-validation: one of them is val, and the others train.

    The split test of the files stays, if they have one. The folds do not depend on `fold`.

    Attributes:
        folds: number of folds.
        fold: the one that is val, from 0.

    """

    kind: Literal["folds"]
    folds: Annotated[int, Field(ge=2, le=100)] = 5
    fold: Annotated[int, Field(ge=0, le=99)] = 0

    @model_validator(mode="after")
    def _require_fold(self) -> "FoldSplits":
        if self.fold >= self.folds:
            raise ValueError(f"received fold {self.fold} of {self.folds} folds, expected 0 to {self.folds - 1}")
        return self


SplitConfig = PublishedSplits | RandomSplits | FoldSplits


class SplitKey(Config):
    """A section of params.yaml with the key `split`, null if it is absent."""

    split: Annotated[SplitConfig, Field(discriminator="kind")] | None


def parse_split(raw: Mapping[str, Any] | None, where: str) -> SplitConfig | None:
    """The key `split` of a dataset, None if it is absent.

    Args:
        raw: its value.
        where: dotted key of the section of the dataset.

    Raises:
        BoxlineError: naming the first invalid key or value.

    """
    return parse_config({"split": raw}, SplitKey, where).split


def is_grouped_by_similarity(split: SplitConfig | None) -> bool:
    """Whether `assign_splits` needs `similar_groups`."""
    return isinstance(split, RandomSplits | FoldSplits) and split.group_by == "similar"


def assign_splits(
    reading: Reading,
    split: SplitConfig | None,
    where: str,
    similar_groups: Sequence[int] | NDArray[np.int64] | None = None,
) -> Reading:
    """Assign every image to train, val or test; boxes and refused elements follow their image.

    Ids stay as they are if they are unique in the new splits; else images and boxes are renumbered.

    Args:
        reading: the images in the splits of their files, or in NO_SPLIT.
        split: how; None for the splits of the files, or for RandomSplits if the files have none. Without a config of
            its own, an image that the files leave out while they assign others is passed over.
        where: dotted key of the section of the dataset, for messages.
        similar_groups: the number of the group of each image, [N], for group_by "similar".

    Raises:
        BoxlineError: if no image is left to train with, or there are too few groups. The message names the splits of
            the files and what to write.

    """
    reading = _with_split_of_orphans(reading)
    published = reading.tables.images["split"]
    if split is None and published.unique().to_pylist() == [NO_SPLIT]:
        split = RandomSplits(kind="random")
        logger.info(
            "the files assign no image to a split, so %s of the images become val and the others train; "
            "%s.split changes that",
            format_percent(split.val),
            where,
        )
    if isinstance(split, RandomSplits | FoldSplits):
        assigned = _assign_groups(reading, split, where, similar_groups)
    else:
        has_split = pc.not_equal(published, NO_SPLIT).to_numpy(zero_copy_only=False)
        assigned = _keep_images(reading, has_split, "that the files assign to no split")
        if isinstance(split, PublishedSplits) and split.train != "train":
            assigned = _rename_split(assigned, split.train, where)
    counts = assigned.tables.images["split"].value_counts().to_pylist()
    if "train" not in [count["values"] for count in counts]:
        raise BoxlineError(_without_training(published, where))
    return assigned


def limit_images(reading: Reading, limit: int | None, split: SplitConfig | None) -> Reading:
    """Keep at most `limit` images of each split, with their boxes. A lower limit keeps some of those of a higher one.

    Args:
        reading: images in splits.
        limit: the number of images; None for all.
        split: what states the seed.

    """
    if limit is None:
        return reading
    images = reading.tables.images
    names = images["file_name"].to_pylist()
    first_rows = image_rows_of(images, images)  # images that share an id stay together, as the defect that they are
    split_names = images["split"].to_numpy(zero_copy_only=False)
    kept = np.zeros(len(names), bool)
    for name in images["split"].unique().to_pylist():
        rows = np.flatnonzero((split_names == name) & (first_rows == np.arange(len(names))))
        order = _by_digest([names[row] for row in rows], SEED if split is None else split.seed)
        kept[rows[order[:limit]]] = True
    return _keep_images(reading, kept[first_rows], "beyond the limit")


def _without_training(published: pa.ChunkedArray, where: str) -> str:
    """Why no image is left to train with, and what helps."""
    counts = {entry["values"]: entry["counts"] for entry in published.value_counts().to_pylist()}
    named = [f"{counts[name]:,} to {name}" for name in SPLITS if name in counts]
    if NO_SPLIT in counts:
        named.append(f"{counts[NO_SPLIT]:,} to no split")
    found = f"the files assign {join_items(named)}" if named else "the files have no images"
    train_with = [f"{{kind: published, train: {name}}}" for name in ("val", "test") if name in counts][:1]
    options = " or ".join(f"`split: {option}`" for option in [*train_with, "{kind: random}"])
    advice = f" Write {options} into {where}." if named else ""
    return f"{where} has no images to train with: {found}, expected at least one image in train.{advice}"


def _rename_split(reading: Reading, train: str, where: str) -> Reading:
    """Train with the images of another split."""
    images = reading.tables.images
    if "train" in images["split"].unique().to_pylist():
        number = pc.sum(pc.equal(images["split"], "train")).as_py()
        raise BoxlineError(
            f"params.yaml: {where}.split.train: received {train!r}, but the files assign {number:,} images to train. "
            f"Delete `train: {train}`, or write {{kind: random}} to assign all images again."
        )

    def renamed(table: pa.Table) -> pa.Table:
        return _with_column(table, "split", pc.if_else(pc.equal(table["split"], train), "train", table["split"]))

    tables = Tables(renamed(images), renamed(reading.tables.boxes), reading.tables.categories)
    return replace(reading, tables=tables, refused=renamed(reading.refused))


def _assign_groups(
    reading: Reading,
    split: RandomSplits | FoldSplits,
    where: str,
    similar_groups: Sequence[int] | NDArray[np.int64] | None,
) -> Reading:
    images = reading.tables.images
    splits = images["split"].to_numpy(zero_copy_only=False).astype(object)
    keeps_test = isinstance(split, FoldSplits) or split.test is None
    rows = np.flatnonzero(splits != "test") if keeps_test else np.arange(len(splits))
    labels = pa.array(_labels(images, split.group_by, similar_groups), pa.string()).take(pa.array(rows))
    group_names = labels.unique().sort()
    group_names = group_names.take(pa.array(_by_digest(group_names.to_pylist(), split.seed)))
    groups = pc.index_in(labels, value_set=group_names).to_numpy(zero_copy_only=False).astype(np.int64)
    part_names, part_sizes = _parts(split, len(rows))
    if len(group_names) < sum(size > 0 for size in part_sizes) or not len(rows):
        raise BoxlineError(
            f"params.yaml: {where}.split: received {pluralize(len(rows), 'image', 'images')} in "
            f"{pluralize(len(group_names), 'group', 'groups')}, expected at least one group for each of "
            f"{join_items(f'{size} {name}' for name, size in zip(part_names, part_sizes, strict=True) if size)}. "
            "Change group_by or the shares."
        )
    group_of_row = np.full(len(splits), -1)
    group_of_row[rows] = groups
    parts = _distribute(
        np.bincount(groups, minlength=len(group_names)).tolist(),
        _classes_of_groups(reading.tables, group_of_row, len(group_names)),
        part_sizes,
    )
    if isinstance(split, FoldSplits):
        part_names = ["val" if part == split.fold else "train" for part in range(split.folds)]
    splits[rows] = np.array(part_names, object)[np.array(parts)[groups]]
    return _with_splits(reading, pa.chunked_array([pa.array(splits, pa.string())]))


def _parts(split: RandomSplits | FoldSplits, num_images: int) -> tuple[list[str], list[int]]:
    """The parts of the images, in the order in which they are filled, and how many images each of them gets."""
    if isinstance(split, FoldSplits):
        sizes = [max(1, (num_images + fold) // split.folds) for fold in range(split.folds)]
        return [f"fold {fold}" for fold in range(split.folds)], sizes
    shares = {"val": split.val, "test": split.test or 0.0}
    sizes = [max(1, round(share * num_images)) if share else 0 for share in shares.values()]
    return [*shares, "train"], [*sizes, max(1, num_images - sum(sizes))]


def _labels(
    images: pa.Table, group_by: str | None, similar_groups: Sequence[int] | NDArray[np.int64] | None
) -> list[str]:
    """A text for each image that is the same for those of a group."""
    names = images["file_name"].to_pylist()
    if group_by is None:
        # Datasets whose files have splits may have the same name in several of them.
        labels = [f"{split}\0{name}" for split, name in zip(images["split"].to_pylist(), names, strict=True)]
    elif group_by == "folder":
        labels = [str(PurePosixPath(name.replace("\\", "/")).parent) for name in names]
    elif group_by == "similar":
        assert similar_groups is not None
        first: dict[int, str] = {}
        for group, name in zip(map(int, similar_groups), names, strict=True):
            first[group] = min(name, first.get(group, name))
        labels = [first[group] for group in map(int, similar_groups)]
    else:
        captured = _captured(names, group_by)
        # The sign in front keeps a name that does not match from the text of a group.
        labels = [f"={text}" if text else f"\0{name}" for text, name in zip(captured, names, strict=True)]
    # Images that share an id stay together, as the defect that they are.
    return [labels[row] for row in image_rows_of(images, images)]


def _captured(names: Sequence[str], pattern: str) -> list[str | None]:
    """What the first group of the pattern matches in each name; None or empty if the pattern does not match.

    RE2, which Arrow calls, takes linear time for every pattern.
    """
    array = pa.array(names, pa.string())
    texts = pc.replace_substring_regex(array, pattern=f"(?s)^.*?(?:{pattern}).*$", replacement=r"\1")
    found: list[str | None] = pc.if_else(pc.match_substring_regex(array, pattern=pattern), texts, None).to_pylist()
    return found


def _by_digest(names: Sequence[str], seed: int) -> NDArray[np.int64]:
    """The indices of the names in the order of the hashes of seed and name."""
    digests = bytearray()
    for name in names:
        same = unicodedata.normalize("NFC", name)  # a file system may change the Unicode form of a name
        digests += hashlib.sha256(f"{seed}\0{same}".encode(errors="surrogatepass")).digest()[:8]
    return np.argsort(np.frombuffer(digests, ">u8"), kind="stable")


def _classes_of_groups(tables: Tables, group_of_image: NDArray[np.int64], num_groups: int) -> list[Classes]:
    """The classes of each group, as numbers, and how many of its images have an object of the class.

    "No object" is a class, too.

    Args:
        tables: the dataset.
        group_of_image: the group of each image, -1 for images that are not assigned.
        num_groups: G.

    Returns:
        Pairs of class and number of images for each of the G groups.

    """
    boxes = without_crowds(tables.boxes.select(["split", "image_id", "category_id", "is_crowd"]))
    image_rows = image_rows_of(boxes, tables.images)
    num_classes = tables.categories.num_rows
    known = tables.categories["category_id"].combine_chunks()
    classes = pc.fill_null(pc.index_in(boxes["category_id"], value_set=known), num_classes + 1).to_numpy()
    is_joined = image_rows >= 0
    pairs = pc.unique(pa.array(image_rows[is_joined] * (num_classes + 2) + classes[is_joined])).to_numpy()
    image_rows, classes = np.divmod(pairs, num_classes + 2)
    empty = np.flatnonzero(np.bincount(image_rows, minlength=len(group_of_image)) == 0)
    image_rows = np.concatenate([image_rows, empty])
    classes = np.concatenate([classes, np.full(len(empty), num_classes)])
    groups = group_of_image[image_rows]
    found_pairs = pc.value_counts(pa.array((groups * (num_classes + 2) + classes)[groups >= 0]))
    keys, counts = (found_pairs.field(name).to_numpy() for name in ("values", "counts"))
    order = np.argsort(keys)
    keys, counts = keys[order], counts[order]
    groups, classes = np.divmod(keys, num_classes + 2)
    starts = np.searchsorted(groups, np.arange(num_groups + 1)).tolist()
    # Few groups differ in their classes, so equal pairs and equal tuples of them are one object each.
    shared_pairs: dict[tuple[int, int], tuple[int, int]] = {}
    class_counts = [shared_pairs.setdefault(one, one) for one in zip(classes.tolist(), counts.tolist(), strict=True)]
    shared: dict[Classes, Classes] = {}
    all_classes = (tuple(class_counts[start:stop]) for start, stop in itertools.pairwise(starts))
    return [shared.setdefault(one, one) for one in all_classes]


def _distribute(sizes: Sequence[int], classes: Sequence[Classes], part_sizes: Sequence[int]) -> list[int]:
    """Distribute groups of images to parts, so that each part gets its number of images and its share of each class.

    Of groups with the same size and classes, each part gets its share, rounded down. The rest is distributed by class,
    the rarest first, since its images leave the least choice: a group goes to the first part that lacks images of the
    class. Everything is in a fixed order, so a group that is added moves the boundaries between the parts, and most
    other groups stay where they are. A part takes no group that exceeds its size; if a group exceeds all of them, it
    goes where most images are missing. So the size of a part differs from `part_sizes` by less than the largest group.

    Args:
        sizes: number of images of each group.
        classes: the classes of each group, with the numbers of its images that have them; at least one.
        part_sizes: number of images of each part.

    Returns:
        The part of each group.

    """
    num_images = sum(sizes)
    totals: Counter[int] = Counter()
    equal_groups: dict[tuple[object, ...], list[int]] = {}
    for group, counts in enumerate(classes):
        for name, count in counts:
            totals[name] += count
        equal_groups.setdefault((sizes[group], *counts), []).append(group)
    room = list(part_sizes)
    lacking = [{name: total * size / num_images for name, total in totals.items()} for size in part_sizes]
    parts = [-1] * len(sizes)

    def put(groups: Sequence[int], part: int) -> None:
        """Put groups with the same size and classes into a part."""
        for group in groups:
            parts[group] = part
        room[part] -= sizes[groups[0]] * len(groups)
        for name, count in classes[groups[0]]:
            lacking[part][name] -= count * len(groups)

    for groups in equal_groups.values():
        start = 0
        for part, size in enumerate(part_sizes):
            stop = start + len(groups) * size // num_images
            if stop > start:
                put(groups[start:stop], part)
            start = stop
    rest: dict[int, list[tuple[int, int]]] = {}
    for group, counts in enumerate(classes):
        for name, count in counts if parts[group] < 0 else ():
            rest.setdefault(name, []).append((group, count))
    for name in sorted(rest, key=lambda name: (totals[name], name)):
        for group, count in rest[name]:
            if parts[group] < 0:
                fitting = [part for part in range(len(room)) if room[part] >= sizes[group]]
                wanting = [part for part in fitting if lacking[part][name] >= count / 2]
                if wanting:
                    put([group], wanting[0])
                elif fitting:
                    put([group], max(fitting, key=lambda part: lacking[part][name]))
                else:
                    put([group], max(range(len(room)), key=room.__getitem__))
    _fill_empty_parts(parts, sizes, part_sizes)
    return parts


def _fill_empty_parts(parts: list[int], sizes: Sequence[int], part_sizes: Sequence[int]) -> None:
    """Give each part that should have images, and has no group, the smallest group of the part with most groups."""
    for empty in range(len(part_sizes)):
        if part_sizes[empty] and empty not in parts:
            crowded = max(range(len(part_sizes)), key=parts.count)
            smallest = min((group for group, part in enumerate(parts) if part == crowded), key=sizes.__getitem__)
            parts[smallest] = empty


def _with_split_of_orphans(reading: Reading) -> Reading:
    """Boxes of unknown images without a split belong to train, where `validate` quarantines them."""
    boxes = reading.tables.boxes
    is_orphan = pc.and_(pc.equal(boxes["split"], NO_SPLIT), pa.array(image_rows_of(boxes, reading.tables.images) < 0))
    if not pc.any(is_orphan).as_py():
        return reading
    boxes = _with_column(boxes, "split", pc.if_else(is_orphan, "train", boxes["split"]))
    return replace(reading, tables=replace(reading.tables, boxes=boxes))


def _with_splits(reading: Reading, splits: pa.ChunkedArray) -> Reading:
    """The images in new splits, and what belongs to them. Ids are replaced where they clash."""
    images, boxes, refused = reading.tables.images, reading.tables.boxes, reading.refused
    image_rows = image_rows_of(boxes, images)
    box_splits = pc.coalesce(take_or_null(splits, image_rows), boxes["split"])
    orphans = boxes.filter(pa.array(image_rows < 0))
    image_keys = [
        (images["split"], splits, images["image_id"]),
        (pa.repeat("orphans", orphans.num_rows), box_splits.filter(pa.array(image_rows < 0)), orphans["image_id"]),
    ]
    if _clash(image_keys) or _clash([(boxes["split"], box_splits, boxes["box_id"])]):
        logger.info("renumbered images and boxes, since ids of several splits of the files are equal")
        first_rows = image_rows_of(images, images)
        # The id of an unknown image stays that of no image.
        box_image_ids = np.where(image_rows < 0, images.num_rows + 1 + np.abs(boxes["image_id"].to_numpy()), image_rows)
        box_keys = boxes.select(["split", "box_id"]).rename_columns(["split", "image_id"])
        images = _with_column(images, "image_id", pa.array(first_rows + 1))
        boxes = _with_column(boxes, "image_id", pa.array(box_image_ids + 1))
        boxes = _with_column(boxes, "box_id", pa.array(image_rows_of(box_keys, box_keys) + 1))
    rows_of_refused = _first_rows_of(refused, images)
    refused_splits = pc.coalesce(take_or_null(splits, rows_of_refused), refused["split"])
    return replace(
        reading,
        tables=Tables(
            _with_column(images, "split", splits), _with_column(boxes, "split", box_splits), reading.tables.categories
        ),
        refused=_with_column(refused, "split", refused_splits),
    )


def _clash(keys: Sequence[tuple[pa.Array, pa.Array, pa.Array]]) -> bool:
    """Whether an id of two splits of the files is in one new split; from columns of old split, new split and id."""
    names = ("old", "new", "id")
    tables = [pa.table(dict(zip(names, columns, strict=True))) for columns in keys]
    if len({split for table in tables for split in table["old"].unique().to_pylist()}) < 2:
        return False
    distinct = pa.concat_tables(tables).group_by(list(names)).aggregate([])
    return distinct.group_by(["new", "id"]).aggregate([]).num_rows < distinct.num_rows


def _keep_images(reading: Reading, kept: NDArray[np.bool_], which: str) -> Reading:
    """Only the images for which `kept`, bool [N], is true; the others are passed over, with what belongs to them."""
    if kept.all():
        return reading
    tables, images = reading.tables, reading.tables.images
    image_rows, refused_rows = image_rows_of(tables.boxes, images), _first_rows_of(reading.refused, images)
    kept_boxes, kept_refused = (kept[rows] | (rows < 0) for rows in (image_rows, refused_rows))
    names = images["file_name"]
    left_out = {
        f"images {which}": names.filter(pa.array(~kept)).to_pylist(),
        f"boxes of images {which}": names.take(pa.array(image_rows[~kept_boxes])).to_pylist(),
        f"refused entries of images {which}": names.take(pa.array(refused_rows[~kept_refused])).to_pylist(),
    }
    passed_over = passed_over_table({kind: found for kind, found in left_out.items() if found})
    logger.info("left out %s %s", pluralize(int((~kept).sum()), "image", "images"), which)
    return Reading(
        tables=Tables(images.filter(pa.array(kept)), tables.boxes.filter(pa.array(kept_boxes)), tables.categories),
        image_locations=_filter_locations(reading.image_locations, kept),
        box_locations=_filter_locations(reading.box_locations, kept_boxes),
        refused=reading.refused.filter(pa.array(kept_refused)),
        passed_over=pa.concat_tables([reading.passed_over, passed_over]),
    )


def _filter_locations(locations: pa.Table, kept: NDArray[np.bool_]) -> pa.Table:
    return locations.filter(pa.array(kept)) if locations.num_rows else locations


def _first_rows_of(refused: pa.Table, images: pa.Table) -> NDArray[np.int64]:
    """The row of the image that each row of schema.REFUSED names, int64 [N]; -1 if there is none."""
    rows = pc.index_in(refused["file_name"], value_set=images["file_name"].combine_chunks(), skip_nulls=True)
    return np.asarray(pc.fill_null(rows, -1), np.int64)


def _with_column(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), column)
