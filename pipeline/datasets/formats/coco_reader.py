"""Reads COCO JSON of any layout: the upstream archives, a file beside or above its images, one file per split.

Ids are kept if they are unique within their split, which is how COCO publishes them: image ids, box ids and category
ids that start at 0 are increased by one, each kind in all files alike. Otherwise that kind is renumbered from 1.
"""

import re
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.member_lookup import with_slashes
from pipeline.core import schema
from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.datasets.annotations import NO_SPLIT, Reading, Tables, categories_table
from pipeline.datasets.formats.coco import InstanceTables, decode, describe_failure
from pipeline.datasets.formats.coco_categories import NOT_KEPT, Categories, Entry, unify_categories
from pipeline.datasets.formats.collector import OTHER_CLASSES, passed_over_table
from pipeline.datasets.formats.image_finder import ImageFinder, folder_of, image_folders
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.split_names import SPLITS, split_named, split_of_path

HEAD_BYTES = 64 << 10
"""How much of a JSON file shows whether it is COCO's."""

MAX_EXAMINED_FILES = 20
"""JSON files that `detect` looks into: those with a telling name first, then in the order of their names."""

TELLING_NAME = re.compile(r"coco|instances|annotations|train|val|test", re.IGNORECASE)
IMAGES_START = re.compile(rb'"images"\s*:\s*\[\s*\{.*?"file_name"', re.DOTALL)
ANNOTATIONS_START = re.compile(rb'"annotations"\s*:\s*\[\s*\{.*?"image_id"', re.DOTALL)
OBJECT_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{")
JSON_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]")
INSTANCES = "instances"
"""How the names of COCO's own files of boxes begin; beside them are those of the same images with other annotations."""

CHUNK_ROWS = 1 << 16
"""Texts that are Python objects at the same time, besides those that are kept."""

NO_ID = np.iinfo(np.int64).min
"""In place of the id of an image that has none. It is outside of what an id may be."""

UNKNOWN, REFUSED, ELSEWHERE = -1, -2, -3
"""In place of the row of a box's image: there is no such image, it is refused, or it belongs to another file."""


class CocoOptions(Config):
    """COCO has no options."""


class CocoReader(FormatReader[CocoOptions]):
    """Reads every JSON file with `images` and `annotations`. The names of files and folders give the splits."""

    options_class = CocoOptions

    def detect(self, tree: FileTree) -> Detection | None:
        """Look at the beginning of a few JSON files."""
        files = with_suffix(tree.names(), ".json")
        files.sort(key=lambda name: TELLING_NAME.search(name) is None)
        found = [name for name in files[:MAX_EXAMINED_FILES] if _is_coco(_head(tree, name))]
        if not found:
            return None
        return Detection(f"JSON with COCO's images and annotations in {join_items(sorted(found), 3)}", len(found))

    def read(self, tree: FileTree, options: CocoOptions, classes: tuple[str, ...] = ()) -> Reading:
        """Read the splits in the order train, val, test, then what has no split; each in the order of its files."""
        problems = _Problems()
        files = _decoded_files(tree, problems)
        if not files:
            raise BoxlineError(
                'there is no JSON file with "images" and "annotations" that have a "bbox"' + problems.first_in_words()
            )
        categories = unify_categories([file.tables for file in files], classes)
        if not categories.names:
            raise BoxlineError(f"no file lists any categories: {join_items((file.name for file in files), 3)}")
        for file, refusals in zip(files, categories.refused, strict=True):
            for number, reason in refusals:
                problems.refuse(file, "category", number, reason)
        problems.pass_over("classes without boxes that only group others", categories.parents)
        rows = _image_rows(tree, files, problems)
        if not rows.names:
            listed = join_items((file.name for file in files), 3)
            raise BoxlineError(f"no image can be read of those that {listed} lists{problems.first_in_words()}")
        _pass_over_other_files(tree, rows, problems)
        boxes = [
            _box_rows(file, rows, entries, categories, problems)
            for file, entries in zip(files, categories.of_files, strict=True)
        ]
        names = [file.name for file in files]
        del files  # what the tables do not take of the decoded files, which is much
        return _reading(tree, names, rows, boxes, categories, problems)


@dataclass
class _File:
    """A decoded file.

    Attributes:
        name: its name in the tree.
        split: that its name or its folder names, or None.
        tables: its content.
        unreadable: per list, why entries cannot be read, by their numbers from 0.
        image_rows: per entry of `images`, the row of the table of images, or one of REFUSED and ELSEWHERE.

    """

    name: str
    split: str | None
    tables: InstanceTables
    unreadable: Mapping[str, Mapping[int, str]]
    image_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def order(self) -> tuple[int, str]:
        """Position among the files that are read."""
        return (SPLITS.index(self.split) if self.split else len(SPLITS)), self.name


@dataclass
class _ImageRows:
    """The rows of the table of images, as columns. `sizes` has two numbers per row."""

    names: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    file_numbers: "array[int]" = field(default_factory=lambda: array("i"))
    numbers: "array[int]" = field(default_factory=lambda: array("i"))
    published_ids: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("i"))


class _Problems:
    """What is refused and what is passed over."""

    def __init__(self) -> None:
        self._refused: dict[str, list[object]] = {name: [] for name in schema.REFUSED.names}
        self._passed_over: dict[str, list[str]] = {}

    def refuse(self, file: "_File | str", element: str, number: int, reason: str, file_name: str | None = None) -> None:
        """Record an entry; `number` counts from 0 as in JSON, and is of no importance if `element` is "file"."""
        name, split = (file, None) if isinstance(file, str) else (file.name, file.split)
        position = 0 if element == "file" else number + 1
        values = (name, element, position, split, file_name, reason)
        for column, value in zip(self._refused.values(), values, strict=True):
            column.append(value)

    def pass_over(self, kind: str, names: Sequence[str]) -> None:
        """Record what is not used; `kind` says what it is, in the plural."""
        if names:
            self._passed_over.setdefault(kind, []).extend(names)

    def first_in_words(self) -> str:
        """The first refused file, to be appended to a message; empty if there is none."""
        if not self._refused["file"]:
            return ""
        return f". {self._refused['file'][0]}: {self._refused['reason'][0]}"

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """What is refused, and what is passed over."""
        return pa.table(self._refused, schema.REFUSED), passed_over_table(self._passed_over)


def _head(tree: FileTree, name: str) -> bytes:
    try:
        return tree.read_head(name, HEAD_BYTES)
    except BoxlineError:
        return b""


def _is_coco(head: bytes) -> bool:
    starts = (IMAGES_START, ANNOTATIONS_START)
    return OBJECT_START.match(head) is not None and any(start.search(head) for start in starts)


def _decoded_files(tree: FileTree, problems: _Problems) -> list[_File]:
    """The files with boxes, in the order in which their rows are in the tables."""
    candidates = []
    for name in with_suffix(tree.names(), ".json"):
        head = _head(tree, name)
        if _is_coco(head):
            candidates.append(name)
        elif JSON_START.match(head) is None:
            problems.refuse(name, "file", 0, "received a file that is not JSON, expected COCO's format in UTF-8")
        else:
            problems.pass_over("JSON files in another format", [name])
    read, others = _without_other_annotations(candidates)
    problems.pass_over("JSON files with other annotations of the same images", others)
    files = [file for name in read if (file := _decode(tree, name, problems)) is not None]
    return sorted(files, key=lambda file: file.order)


def _without_other_annotations(candidates: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files to read, and those beside `instances_<split>.json` of the same split, such as key points."""
    instances = {_place_and_split(name) for name in candidates if _is_instances(name)}
    others = [name for name in candidates if not _is_instances(name) and _place_and_split(name) in instances]
    return [name for name in candidates if name not in set(others)], others


def _is_instances(name: str) -> bool:
    return PurePosixPath(name).name.lower().startswith(INSTANCES)


def _place_and_split(name: str) -> tuple[PurePosixPath, str | None]:
    return PurePosixPath(name).parent, _split_of_file(name)


def _split_of_file(name: str) -> str | None:
    return split_named(PurePosixPath(name).stem) or split_of_path(name)


def _decode(tree: FileTree, name: str, problems: _Problems) -> _File | None:
    """Decode one file; None if it is refused or passed over."""
    try:
        content = tree.read(name)
    except BoxlineError as error:
        problems.refuse(name, "file", 0, str(error))
        return None
    try:
        tables = decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = f"received a file that is not COCO's format ({describe_failure(content, error)})"
        problems.refuse(name, "file", 0, reason)
        return None
    unreadable: dict[str, dict[int, str]] = defaultdict(dict)
    num_without_box = 0
    for list_name, number, key, problem in tables.unreadable:
        known = unreadable[list_name].get(number)
        unreadable[list_name][number] = f"{known}; {key}: {problem}" if known else f"{key}: {problem}"
        num_without_box += list_name == "annotations" and key == "bbox" and problem.startswith("received null")
    has_no_boxes = num_without_box == tables.boxes.num_rows > 0
    if has_no_boxes or b'"annotations"' not in content:
        problems.pass_over("JSON files without boxes", [name])
        return None
    return _File(name, _split_of_file(name), tables, unreadable)


def _image_rows(tree: FileTree, files: Sequence[_File], problems: _Problems) -> _ImageRows:
    """The rows of the table of images. Sets `image_rows` of each file."""
    rows = _ImageRows()
    row_by_place: dict[str, int] = {}
    folders = image_folders(tree)
    for file_number, file in enumerate(files):
        finder = ImageFinder(tree, folders, file.name, file.split)
        split_by_folder: dict[str, str] = {}
        entries = file.tables.images
        file.image_rows = np.full(len(entries.ids), REFUSED, np.int64)
        ambiguous = _ambiguous_ids(file)
        for number, (file_name, image_id) in enumerate(zip(_texts(entries.file_names), entries.ids, strict=True)):
            if (unreadable := file.unreadable["images"].get(number)) is not None:
                problems.refuse(file, "image", number, unreadable, file_name or None)
                continue
            if image_id in ambiguous:
                problems.refuse(file, "image", number, f"id: received {image_id}, which several images have", file_name)
                continue
            found = finder.find(file_name)
            name = found or with_slashes(file_name)
            folder = folder_of(name)
            if folder not in split_by_folder:
                split_by_folder[folder] = file.split or split_of_path(name) or NO_SPLIT
            split = split_by_folder[folder]
            # Files that are missing in two splits may be two files, whatever their names.
            place = found or f"{split}/{name}"
            row = row_by_place.setdefault(place, len(rows.names))
            if row == len(rows.names):
                rows.names.append(name)
                rows.splits.append(split)
                rows.file_numbers.append(file_number)
                rows.numbers.append(number + 1)
                rows.published_ids.append(image_id)
                rows.sizes.extend(entries.sizes[number] if entries.has_size[number] else tree.image_size(name))
                file.image_rows[number] = row
            elif rows.splits[row] == split:
                problems.pass_over("images listed again, whose boxes are added to those of the first", [name])
                file.image_rows[number] = row
            elif split == NO_SPLIT:
                problems.pass_over("images listed again without a split", [name])
                file.image_rows[number] = ELSEWHERE
            else:
                reason = (
                    f"file_name: received {file_name!r}, which is in the split {rows.splits[row]} already "
                    f"({files[rows.file_numbers[row]].name}, image {rows.numbers[row]})"
                )
                problems.refuse(file, "image", number, reason, name)
                file.image_rows[number] = ELSEWHERE
    return rows


def _texts(column: pa.StringArray) -> Iterator[str]:
    for start in range(0, len(column), CHUNK_ROWS):
        yield from column.slice(start, CHUNK_ROWS).to_pylist()


def _ambiguous_ids(file: _File) -> set[int]:
    """The ids that several entries with different names of files have."""
    ids = _ids_of_images(file)
    values, counts = np.unique(ids, return_counts=True)
    repeated = set(values[counts > 1].tolist())
    if not repeated:
        return set()
    names: dict[int, set[str]] = defaultdict(set)
    for number, image_id in enumerate(ids.tolist()):
        if image_id in repeated and number not in file.unreadable["images"]:
            names[image_id].add(file.tables.images.file_names[number].as_py())
    return {image_id for image_id, of_id in names.items() if len(of_id) > 1}


def _ids_of_images(file: _File) -> NDArray[np.int64]:
    ids = file.tables.images.ids.copy()
    ids[[one.number for one in file.tables.unreadable if (one.list_name, one.key) == ("images", "id")]] = NO_ID
    return ids


def _pass_over_other_files(tree: FileTree, rows: _ImageRows, problems: _Problems) -> None:
    used = {*rows.names}
    images, others = [], []
    for name in tree.names():
        if name not in used and name.lower().endswith(IMAGE_SUFFIXES):
            images.append(name)
        elif name not in used and not name.lower().endswith(".json"):
            others.append(name)
    problems.pass_over("images that no annotation file lists", images)
    problems.pass_over("other files", others)


@dataclass(frozen=True)
class _BoxRows:
    """The boxes of a file that become rows.

    Attributes:
        boxes: columns of schema.OUTLINED_BOXES that stay as they are.
        box_ids: as published, [N].
        image_rows: row of the table of images, [N].
        category_ids: in the tables, [N].
        numbers: of the entry in the file, from 1, [N].

    """

    boxes: pa.Table
    box_ids: NDArray[np.int64]
    image_rows: NDArray[np.int64]
    category_ids: NDArray[np.int32]
    numbers: NDArray[np.int32]


def _box_rows(
    file: _File, rows: _ImageRows, entries: Mapping[int, Entry], categories: Categories, problems: _Problems
) -> _BoxRows:
    """Choose the boxes of a file that become rows; the others are refused or passed over."""
    boxes = file.tables.boxes
    image_ids, category_ids = boxes["image_id"].to_numpy(), boxes["category_id"].to_numpy()
    image_rows = np.append(file.image_rows, UNKNOWN)[_positions(_ids_of_images(file), image_ids)]
    listed = np.array([*entries], np.int64)
    kept_ids = [categories.ids.get(entry, NOT_KEPT) for entry in entries.values()]
    kept_ids_or_unknown = np.array([*kept_ids, UNKNOWN], np.int32)
    found_ids = kept_ids_or_unknown[_positions(listed, category_ids)]

    unreadable = file.unreadable["annotations"]
    is_readable = np.ones(boxes.num_rows, bool)
    is_readable[[*unreadable]] = False
    is_elsewhere = is_readable & (image_rows == ELSEWHERE)
    has_image = is_readable & (image_rows >= 0)
    is_refused = ~is_elsewhere & ~(has_image & (found_ids != UNKNOWN))
    for number in np.flatnonzero(is_refused).tolist():
        row = image_rows[number]
        reason = unreadable.get(number)
        if reason is None and row == UNKNOWN:
            reason = f"image_id: received {image_ids[number]}, expected the id of an image in this file"
        elif reason is None and row == REFUSED:
            reason = f"image_id: received {image_ids[number]}, which is an image that is refused"
        elif reason is None:
            reason = f"category_id: received {category_ids[number]}, expected the id of a category with one name"
        problems.refuse(file, "annotation", number, reason, rows.names[row] if row >= 0 else None)
    problems.pass_over("boxes of images that are listed in another split", [file.name] * int(is_elsewhere.sum()))
    is_of_other_class = has_image & (found_ids == NOT_KEPT)
    other_ids, counts = np.unique(category_ids[is_of_other_class], return_counts=True)
    for category_id, count in zip(other_ids.tolist(), counts.tolist(), strict=True):
        problems.pass_over(OTHER_CLASSES, [entries[category_id].name] * count)

    is_kept = has_image & (found_ids > NOT_KEPT)
    kept = boxes if is_kept.all() else boxes.filter(pa.array(is_kept))
    return _BoxRows(
        kept.drop_columns(["box_id", "image_id", "category_id"]),
        kept["box_id"].to_numpy(),
        image_rows[is_kept],
        found_ids[is_kept],
        np.flatnonzero(is_kept).astype(np.int32) + 1,
    )


def _positions(known: NDArray[np.int64], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """The first position of each wanted value in `known`; -1 where there is none."""
    order = np.argsort(known, kind="stable")
    positions = np.append(order, -1)[known[order].searchsorted(wanted)]
    return np.where(np.append(known, 0)[positions] == wanted, positions, -1)


def _reading(
    tree: FileTree,
    files: Sequence[str],
    rows: _ImageRows,
    parts: Sequence[_BoxRows],
    categories: Categories,
    problems: _Problems,
) -> Reading:
    splits = pa.array(rows.splits, pa.string())
    # Images without a split will get one of the others, so their ids must differ from all.
    groups = np.zeros(len(splits), np.int64)
    if NO_SPLIT not in rows.splits:
        groups = splits.dictionary_encode().indices.to_numpy().astype(np.int64)
    image_files = np.array(rows.file_numbers, np.int64)
    image_ids = _unique_ids(np.array(rows.published_ids, np.int64), image_files, groups)

    image_rows = _joined([part.image_rows for part in parts])
    box_files = np.repeat(np.arange(len(files)), [len(part.numbers) for part in parts])
    boxes = pa.concat_tables([part.boxes for part in parts])
    replaced = {
        "box_id": _unique_ids(_joined([part.box_ids for part in parts]), box_files, groups[image_rows]),
        "split": splits.take(pa.array(image_rows)),
        "image_id": image_ids[image_rows],
        "category_id": _joined([part.category_ids for part in parts]),
    }
    columns = [replaced[name] if name in replaced else boxes[name] for name in schema.OUTLINED_BOXES.names]
    names = pa.array(files, pa.string())
    refused, passed_over = problems.tables()
    return Reading(
        tables=Tables(
            _images_table(tree, files, rows, splits, image_ids),
            pa.table(columns, schema.OUTLINED_BOXES),
            categories_table([*categories.names], [*categories.names.values()], [*categories.supercategories.values()]),
        ),
        image_locations=_locations(image_files, names, "image", np.array(rows.numbers, np.int32)),
        box_locations=_locations(box_files, names, "annotation", _joined([part.numbers for part in parts])),
        refused=refused,
        passed_over=passed_over,
    )


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """All values in one array; without a copy if they are in one already, as most datasets are one file."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _unique_ids(ids: NDArray[np.int64], files: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ids, plus one if they start at 0; renumbered from 1 if several files have one id in one group.

    An id that a file has twice stays one: `pipeline.validation` reports it.

    Args:
        ids: as published, [N].
        files: number of the file of each, [N].
        groups: number of the group of each within which ids are unique, [N].

    """
    if not _clash(ids, files, groups):
        return ids + (len(ids) > 0 and ids.min() == 0)
    unique, num_numbered = np.empty_like(ids), 0
    for file in np.unique(files):
        values, positions = np.unique(ids[files == file], return_inverse=True)
        unique[files == file] = positions + num_numbered + 1
        num_numbered += len(values)
    return unique


def _clash(ids: NDArray[np.int64], files: NDArray[np.int64], groups: NDArray[np.int64]) -> bool:
    for group in np.unique(groups):
        of_group = groups == group
        numbers = np.unique(files[of_group])
        if len(numbers) > 1:
            of_files = [np.unique(ids[of_group & (files == number)]) for number in numbers]
            if sum(map(len, of_files)) > len(np.unique(np.concatenate(of_files))):
                return True
    return False


def _images_table(
    tree: FileTree, files: Sequence[str], rows: _ImageRows, splits: pa.Array, image_ids: NDArray[np.int64]
) -> pa.Table:
    archives, members = [], []
    for name, file in zip(rows.names, rows.file_numbers, strict=True):
        # A missing image is looked for beside the file that lists it.
        archive, member = tree.location(name) if name in tree else (tree.location(files[file])[0], name)
        archives.append(sys.intern(archive))
        members.append(name if member == name else member)
    sizes = np.array(rows.sizes, np.int32).reshape(-1, 2)
    columns = [image_ids, splits, rows.names, sizes[:, 0], sizes[:, 1], archives, members]
    table = pa.table(columns, schema.IMAGES)
    rows.names.clear()  # as Python objects they take as much as all boxes of the images
    return table


def _locations(files: NDArray[Any], names: pa.Array, element: str, numbers: NDArray[np.int32]) -> pa.Table:
    """Locations from the index in `names` of the file of each row."""
    encoded = pa.DictionaryArray.from_arrays(pa.array(files, pa.int32()), names)
    elements = pa.DictionaryArray.from_arrays(np.zeros(len(numbers), np.int32), [element])
    return pa.table([encoded, elements, numbers], schema.LOCATIONS)
