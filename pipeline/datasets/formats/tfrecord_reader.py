"""Reads TFRecord files of TensorFlow's Object Detection API, which hold images and their boxes."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.image_sizes import image_size
from pipeline.archives.tf_example import Example
from pipeline.archives.tfrecord_archive import HEADER_BYTES, TfRecordArchive, starts_record
from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError, join_items, truncate
from pipeline.core.file_names import is_record_name
from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.split_names import split_named, split_of_path

MAX_LABEL_MAP_BYTES = 1 << 20

CORNERS = ("image/object/bbox/xmin", "image/object/bbox/ymin", "image/object/bbox/xmax", "image/object/bbox/ymax")
CLASS_NAMES = "image/object/class/text"
CLASS_NUMBERS = "image/object/class/label"
CROWD_FLAGS = ("image/object/is_crowd", "image/object/group_of")
AREAS = "image/object/area"
MAX_SIDE = 1 << 20
LARGEST_FRACTION = 1e6

LABEL_MAP_ITEM = re.compile(r"item\s*:?\s*\{([^{}]*)\}")
LABEL_MAP_FIELD = re.compile(r"""(\w+)\s*:\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;]+)""")


class TfRecordOptions(Config):
    """TFRecord has no options."""


class TfRecordReader(FormatReader[TfRecordOptions]):
    """Reads all TFRecord files. Their names (train.record), else their folders, give the splits.

    Corners are fractions of the image. A class has the name that its box states, else that of a label map (`.pbtxt`),
    else its number.
    """

    options_class = TfRecordOptions

    def detect(self, tree: FileTree) -> Detection | None:
        """Look at the names of files, and at the beginning of the first one."""
        files = _record_files(tree)
        if not files or not starts_record(tree.read_head(files[0], HEADER_BYTES)):
            return None
        return Detection(
            f"{pluralize(len(files), 'TFRecord file', 'TFRecord files')}, the first {files[0]}", len(files)
        )

    def read(self, tree: FileTree, options: TfRecordOptions, classes: tuple[str, ...] = ()) -> Reading:
        """Read the files in the order of their names, and the images in the order of the records."""
        files = _record_files(tree)
        paths = {file: path for file in files if (path := tree.path(file)) is not None}
        if not paths:
            raise BoxlineError(
                f"{files[0]} is in an archive, in which its images cannot be read in place; "
                f"unpack {tree.location(files[0])[0]} and name its folder as the source"
                if files
                else "there are no TFRecord files"
            )
        label_maps = with_suffix(tree.names(), ".pbtxt")
        names = _read_label_maps(tree, label_maps) or dict(enumerate(classes, 1))
        collector = AnnotationCollector(tree, "record", classes)
        collector.declare_classes([names[number] for number in sorted(names)])
        builder = _Builder(tree, collector, names)
        for file in files:
            if file in paths:
                builder.add_file(file, TfRecordArchive(paths[file]))
            else:
                collector.refuse(file, 0, f"received a file in {tree.location(file)[0]}, expected it beside the others")
        for name in tree.names():
            if name not in files and name not in label_maps:
                collector.pass_over("other files", name)
        return collector.finish()


def _record_files(tree: FileTree) -> list[str]:
    return [name for name in tree.names() if is_record_name(name)]


def _read_label_maps(tree: FileTree, files: Sequence[str]) -> Mapping[int, str]:
    """The class names by their numbers.

    Raises:
        BoxlineError: if label maps contradict each other.

    """
    names: dict[int, str] = {}
    for file in files:
        text = tree.read(file, MAX_LABEL_MAP_BYTES).decode("utf-8-sig", errors="replace")
        for number, name in parse_label_map(text).items():
            if names.setdefault(number, name) != name:
                raise BoxlineError(
                    f"{file}: received {name!r} for class {number}, expected {names[number]!r} as in another label map "
                    f"({join_items(files)}); keep one of them"
                )
    return names


def parse_label_map(text: str) -> dict[int, str]:
    r"""The names by the ids of a label map: display names, if there are any.

    >>> parse_label_map("item { id: 1 name: 'cat' }\nitem { name: '/m/2', id: 2, display_name: \"dog\" }")
    {1: 'cat', 2: 'dog'}
    """
    names = {}
    for item in LABEL_MAP_ITEM.findall(text):
        fields = {key: value.strip("\"'") for key, value in LABEL_MAP_FIELD.findall(item)}
        name = fields.get("display_name") or fields.get("name")
        if name and re.fullmatch("[0-9]{1,9}", fields.get("id", "")):
            names[int(fields["id"])] = name
    return names


class _Objects(NamedTuple):
    """The objects of an image, one entry per object in each list.

    Attributes:
        corners: x_min, y_min, x_max and y_max as fractions of the image.
        class_names: their classes.
        areas: of their outlines in square pixels; None if they are not stated.
        crowd_flags: whether they are many objects.

    """

    corners: list[tuple[float, ...]]
    class_names: list[str]
    areas: list[float | None]
    crowd_flags: list[bool]


class _Builder:
    """Turns records into rows."""

    def __init__(self, tree: FileTree, collector: AnnotationCollector, names: Mapping[int, str]) -> None:
        self._tree = tree
        self._collector = collector
        self._names = names
        self._file_names: set[str] = set()

    def add_file(self, file: str, archive: TfRecordArchive) -> None:
        """Add the images of a file, and their boxes."""
        split = split_named(PurePosixPath(file).name) or split_of_path(file)
        for number, reason in archive.problems:
            self._collector.refuse(file, number, reason, split=split)
        for number, name, example in archive.examples():
            file_name = self._file_name(file, name)
            try:
                if isinstance(example, str):
                    raise ValueError(example)
                size = _size(example) or image_size(archive.member(name))
                objects = self._objects(example)
            except ValueError as error:
                reason = f"received a record that cannot be read: {str(error).removesuffix('.')}"
                self._collector.refuse(file, number, reason, split=split, file_name=file_name)
                continue
            image = self._collector.add_image(
                file_name, size, split=split, file=file, number=number, archive_and_member=(file, name)
            )
            self._add_boxes(image, size, objects, file, number, file_name)

    def _file_name(self, file: str, name: str) -> str:
        """The name of the image in the tree, with that of its file in front if there is another one of the name."""
        file_name = file[: file.rfind("/") + 1] + name
        if file_name in self._file_names or file_name in self._tree:
            file_name = f"{file}/{name}"
        self._file_names.add(file_name)
        return file_name

    def _objects(self, example: Example) -> _Objects:
        sides = [example.floats(key) for key in CORNERS]
        num_boxes = len(sides[0])
        class_names = self._class_names(example)
        areas = example.floats(AREAS) or [math.nan] * num_boxes
        flags = next(filter(None, map(example.integers, CROWD_FLAGS)), [0] * num_boxes)
        lengths = [*map(len, sides), len(class_names), len(areas), len(flags)]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"it has {join_items(lengths[:4])} values of xmin, ymin, xmax and ymax, "
                f"{lengths[4]} classes, {lengths[5]} areas and {lengths[6]} flags of crowds, expected as many of each"
            )
        known_areas = [area if math.isfinite(area) else None for area in areas]
        return _Objects(list(zip(*sides, strict=True)), class_names, known_areas, [flag != 0 for flag in flags])

    def _class_names(self, example: Example) -> list[str]:
        names = example.texts(CLASS_NAMES)
        numbers = example.integers(CLASS_NUMBERS)
        if not names:
            return [self._names.get(number, str(number)) for number in numbers]
        if len(numbers) != len(names):
            return names
        return [name or self._names.get(number, str(number)) for name, number in zip(names, numbers, strict=True)]

    def _add_boxes(
        self, image: int, size: tuple[int, int], objects: _Objects, file: str, number: int, file_name: str
    ) -> None:
        width, height = size
        for corners, class_name, area, is_crowd in zip(*objects, strict=True):
            x_min, y_min, x_max, y_max = corners
            if not all(abs(corner) <= LARGEST_FRACTION for corner in corners) or size == (0, 0) or not class_name:
                reason = (
                    f"received the corners {join_items(corners)} of the class {truncate(class_name)!r} in an image of "
                    f"{width} x {height} pixels, expected fractions of an image and a class"
                )
                self._collector.refuse(file, number, reason, file_name=file_name)
                continue
            box_xywh = (x_min * width, y_min * height, (x_max - x_min) * width, (y_max - y_min) * height)
            self._collector.add_box(image, class_name, box_xywh, file=file, number=number, area=area, is_crowd=is_crowd)


def _size(example: Example) -> tuple[int, int] | None:
    """Width and height in pixels; None if they are not stated."""
    sides = [example.integers(key) for key in ("image/width", "image/height")]
    if not any(sides):
        return None
    if any(len(values) != 1 or not 0 < values[0] <= MAX_SIDE for values in sides):
        raise ValueError(f"it has image/width {sides[0]} and image/height {sides[1]}, expected a size in pixels")
    return sides[0][0], sides[1][0]
