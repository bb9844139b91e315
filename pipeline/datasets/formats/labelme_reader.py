"""Reads LabelMe: one JSON file per image, with shapes."""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import msgspec
from msgspec import Raw

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError, join_items, truncate
from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.annotated_images import AnnotatedImages
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.json_files import AnyJson, decode_json, json_files_like
from pipeline.datasets.formats.pixel_numbers import coordinate, side
from pipeline.datasets.formats.shapes import Point, Shape, box_around, ellipse, polygons
from pipeline.datasets.formats.split_names import split_of_path

MAX_JSON_BYTES = 256 << 20
"""A file may hold the image, too, in base64."""

START = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{.*"(?:shapes"\s*:\s*\[|imageData"\s*:)', re.DOTALL)

POLYGON_TYPES = ("polygon", "rotation", "", None)
"""Earlier versions state no type. The rotated boxes of AnyLabeling have four corners."""

TYPES_WITHOUT_AREA = ("point", "points", "line", "linestrip")


POINTS_OF_TYPE = {"rectangle": 2, "circle": 2, "mask": 2}
"""How many points a shape needs; a polygon needs three. Some tools write all corners of a rectangle."""

IMAGE_KEYS = {"imagePath", "imageData", "imageHeight", "imageWidth"}


class LabelmeOptions(Config):
    """LabelMe has no options."""


class _Shape(msgspec.Struct):
    label: str | int
    points: list[list[Any]]
    shape_type: str | None = None
    group_id: int | str | None = None


class _Place(NamedTuple):
    """The image of a file: its number, name and split."""

    image: int
    name: str
    split: str | None
    file: str


class LabelmeReader(FormatReader[LabelmeOptions]):
    """Reads every JSON file with `shapes`. Folders give the splits.

    Rectangles, polygons, circles and masks are boxes, and polygons their outlines. Polygons of one class and group are
    parts of one object, as in LabelMe's own export. Points and lines are passed over.
    """

    options_class = LabelmeOptions

    def detect(self, tree: FileTree) -> Detection | None:
        """Look at the beginning of a few JSON files."""
        files, num_examined, num_found = json_files_like(tree, START)
        if num_found == 0:
            return None
        found = f"LabelMe's shapes in {num_found} of {num_examined} that were looked at"
        return Detection(f"{pluralize(len(files), 'JSON file', 'JSON files')}, {found}", len(files))

    def read(self, tree: FileTree, options: LabelmeOptions, classes: tuple[str, ...] = ()) -> Reading:
        """Read all JSON files in the order of their names."""
        collector = AnnotationCollector(tree, "shape", classes)
        files = with_suffix(tree.names(), ".json")
        images = AnnotatedImages(tree, files)
        for file in files:
            try:
                content = decode_json(tree.read(file, MAX_JSON_BYTES), AnyJson)
                shapes = decode_json(content["shapes"], list[Raw]) if _is_labelme(content) else None
            except BoxlineError as error:
                collector.refuse(file, 0, f"received a file that is not JSON of LabelMe ({error})")
                continue
            if shapes is None:
                collector.pass_over("JSON files without shapes", file)
                continue
            name, names_another = images.find(file, _text(content, "imagePath"))
            split = split_of_path(file) or split_of_path(name)
            if names_another:
                collector.pass_over("names of other images in imagePath", f"{file}: {_text(content, 'imagePath')}")
            if reason := images.claim(name, file):
                collector.refuse(file, 0, reason, split=split, file_name=name)
                continue
            stated = (_side(content, "imageWidth"), _side(content, "imageHeight"))
            size = stated if all(stated) else tree.image_size(name)
            image = collector.add_image(name, size, split=split, file=file)
            _add_shapes(collector, shapes, _Place(image, name, split, file))
        collector.pass_over_unused(images.claimed(), suffix=".json")
        collector.require_images("there are no images with JSON files that have shapes")
        return collector.finish()


def _is_labelme(content: object) -> TypeGuard[dict[str, Raw]]:
    return isinstance(content, dict) and "shapes" in content and not content.keys().isdisjoint(IMAGE_KEYS)


def _text(content: dict[str, Raw], key: str) -> str:
    try:
        return msgspec.json.decode(content.get(key, b'""'), type=str)
    except msgspec.DecodeError:
        return ""


def _side(content: dict[str, Raw], key: str) -> int:
    try:
        return side(msgspec.json.decode(content.get(key, b"0"), type=float | str))
    except msgspec.DecodeError:
        return 0


def _add_shapes(collector: AnnotationCollector, shapes: Sequence[Raw], place: _Place) -> None:
    """Add the boxes in the order of the shapes; that of a group where its first polygon is."""
    groups: dict[object, list[list[Point]]] = {}
    boxes: list[tuple[int, str, list[list[Point]] | Shape]] = []
    for number, raw in enumerate(shapes, 1):
        try:
            shape = decode_json(raw, _Shape)
            class_name = str(shape.label).strip()
            if not class_name:
                raise BoxlineError("its label is empty")
            if shape.shape_type in TYPES_WITHOUT_AREA:
                collector.pass_over("points and lines", f"{place.file}, shape {number}: {class_name}")
                continue
            points = _points(shape)
            if shape.shape_type not in POLYGON_TYPES:
                boxes.append((number, class_name, _shape(shape.shape_type, points)))
                continue
        except BoxlineError as error:
            reason = f"received {truncate(bytes(raw).decode(errors='replace'))}, expected a labeled shape: {error}"
            collector.refuse(place.file, number, reason, split=place.split, file_name=place.name)
            continue
        group = number if shape.group_id is None else (class_name, shape.group_id)
        if group in groups:
            collector.pass_over("polygons that are parts of others", f"{place.file}, shape {number}: {class_name}")
            groups[group].append(points)
        else:
            groups[group] = [points]
            boxes.append((number, class_name, groups[group]))
    for number, class_name, found in boxes:
        box_xywh, area, outline = polygons(found) if isinstance(found, list) else found
        collector.add_box(place.image, class_name, box_xywh, file=place.file, number=number, area=area, outline=outline)


def _points(shape: _Shape) -> list[Point]:
    """The points of a shape with an area.

    Raises:
        BoxlineError: if there are not enough, or one is not two numbers.

    """
    if shape.shape_type not in (*POLYGON_TYPES, *POINTS_OF_TYPE):
        known = join_items([*POINTS_OF_TYPE, "polygon", "rotation", *TYPES_WITHOUT_AREA])
        raise BoxlineError(f"its shape_type is {shape.shape_type!r}, which is none of {known}")
    try:
        points = [(coordinate(x), coordinate(y)) for x, y in shape.points]
    except ValueError:
        raise BoxlineError("its points are not pairs of numbers") from None
    expected = POINTS_OF_TYPE.get(shape.shape_type or "", 3)
    if len(points) < expected:
        raise BoxlineError(f"it has {pluralize(len(points), 'point', 'points')}, and {expected} are needed")
    return points


def _shape(shape_type: str | None, points: list[Point]) -> Shape:
    if shape_type == "circle":
        (x, y), rim = points[:2]
        return ellipse(x, y, math.dist((x, y), rim), math.dist((x, y), rim))
    x, y, width, height = box_around(points)
    # The points of a mask are its first and its last pixel.
    return Shape((x, y, width + 1, height + 1) if shape_type == "mask" else (x, y, width, height))
