"""Reads CVAT's XML 1.1, "for images" and "for video", in which one file has all images of a task or project."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple
from xml.parsers import expat

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.member_lookup import with_slashes
from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError, join_items, truncate
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.image_finder import ImageFinder, image_folders
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.pixel_numbers import coordinate, side
from pipeline.datasets.formats.shapes import Point, Shape, ellipse, polygons, rotated_box
from pipeline.datasets.formats.split_names import split_named, split_of_path
from pipeline.datasets.formats.xml_files import root_tag

ROOT = "annotations"
MAX_DEPTH = 64
MAX_EXAMINED_FILES = 8

SHAPES = ("box", "polygon", "ellipse", "mask")
SHAPES_WITHOUT_BOX = ("cuboid", "points", "polyline", "skeleton", "tag")
LABEL_TYPES_WITHOUT_BOX = ("cuboid", "points", "polyline", "skeleton", "tag")

FRAME = re.compile(r"frame_?([0-9]{1,9})", re.ASCII)
"""The stem of the image of a frame, as CVAT exports it."""


class CvatOptions(Config):
    """CVAT has no options."""


class CvatReader(FormatReader[CvatOptions]):
    """Reads every XML file whose root is `annotations`. Subsets, else folders, give the splits.

    Boxes, polygons, ellipses and masks are boxes, and polygons their outlines; that of a rotated box is its outline,
    too. The frames of a video are the images `frame_000000` and so on below the folder of the file.
    """

    options_class = CvatOptions

    def detect(self, tree: FileTree) -> Detection | None:
        """Look at the beginning of a few XML files."""
        files = with_suffix(tree.names(), ".xml")
        found = [file for file in files[:: len(files) // MAX_EXAMINED_FILES + 1] if root_tag(tree, file) == ROOT]
        if not found:
            return None
        return Detection(f"XML with <{ROOT}> in {join_items(found, 3)}", len(found))

    def read(self, tree: FileTree, options: CvatOptions, classes: tuple[str, ...] = ()) -> Reading:
        """Read the files in the order of their names, and images and shapes in the order of each file."""
        collector = AnnotationCollector(tree, "line", classes)
        used: dict[str, str] = {}
        folders = image_folders(tree)
        for file in with_suffix(tree.names(), ".xml"):
            if root_tag(tree, file) == ROOT:
                _FileReader(collector, tree, folders, file, used).read()
            else:
                collector.pass_over(f"XML files without <{ROOT}>", file)
        collector.pass_over_unused(used, suffix=".xml")
        collector.require_images(f"there are no images in XML files with <{ROOT}>")
        return collector.finish()


class _Image(NamedTuple):
    number: int
    name: str
    split: str | None


class _Object(NamedTuple):
    line: int
    class_name: str
    shape: Shape


class _FileReader:
    """Parses one file element by element, so that a file of any size takes little memory."""

    def __init__(
        self, collector: AnnotationCollector, tree: FileTree, folders: Sequence[str], file: str, used: dict[str, str]
    ) -> None:
        """Start.

        Args:
            collector: takes everything.
            tree: the files.
            folders: `image_folders` of the tree.
            file: the annotation file.
            used: the images that are read, with the place that names them; gets those of this file.

        """
        self._collector = collector
        self._tree = tree
        self._folders = folders
        self._file = file
        self._used = used
        self._finders: dict[str | None, ImageFinder] = {}
        self._open: list[str] = []
        self._texts: dict[str, str] = {}
        self._labels: list[str] = []
        self._image: _Image | None = None
        self._track_label = ""
        self._frames: dict[int, list[_Object]] = defaultdict(list)
        self._video_line = 0
        self._video_size = (0, 0)
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse_document_type

    def read(self) -> None:
        """Read the file. What follows an error in it is refused together."""
        try:
            for chunk in self._tree.read_chunks(self._file):
                self._parser.Parse(chunk, False)
            self._parser.Parse(b"", True)
        except (expat.ExpatError, BoxlineError, ValueError, LookupError) as error:
            reason = f"received a file that cannot be read from here on ({error})"
            self._collector.refuse(self._file, self._parser.CurrentLineNumber, reason)
        self._add_frames()

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        parent = self._open[-1] if self._open else ""
        self._open.append(tag)
        self._parser.CharacterDataHandler = None
        if len(self._open) > MAX_DEPTH:
            raise BoxlineError(f"elements are nested more than {MAX_DEPTH} deep")
        if parent == ROOT and tag == "image":
            self._image = self._add_image(attributes)
        elif parent == ROOT and tag == "track":
            self._track_label = attributes.get("label", "").strip()
            self._video_line = self._video_line or self._parser.CurrentLineNumber
        elif parent in ("image", "track") and len(self._open) == 3:
            self._add_shape(tag, attributes, parent)
        elif parent in ("label", "original_size"):
            self._texts[tag] = ""
            self._parser.CharacterDataHandler = self._add_text

    def _add_text(self, text: str) -> None:
        self._texts[self._open[-1]] = self._texts.get(self._open[-1], "") + text

    def _end(self, tag: str) -> None:
        self._open.pop()
        self._parser.CharacterDataHandler = None
        if tag == "label":
            if self._texts.get("type", "any") not in LABEL_TYPES_WITHOUT_BOX and "name" in self._texts:
                self._labels.append(self._texts["name"].strip())
            self._texts = {}
        elif tag == "labels":
            self._collector.declare_classes(self._labels)
        elif tag == "original_size":
            self._video_size = side(self._texts.get("width", "")), side(self._texts.get("height", ""))
            self._texts = {}
        elif tag == "image" and len(self._open) == 1:
            self._image = None

    def _refuse_document_type(self, *_: object) -> None:
        raise BoxlineError("a document type (<!DOCTYPE ...>) is not allowed")

    def _add_image(self, attributes: Mapping[str, str]) -> _Image | None:
        line = self._parser.CurrentLineNumber
        published = with_slashes(attributes.get("name", "").strip())
        if not published:
            self._collector.refuse(self._file, line, "received an image without a name, expected that of its file")
            return None
        split = split_named(attributes.get("subset", "")) or split_of_path(published) or split_of_path(self._file)
        name = self._finder(split).find(published) or published
        split = split or split_of_path(name)
        size = side(attributes.get("width")), side(attributes.get("height"))
        return self._claimed(name, split, size if all(size) else self._tree.image_size(name), line)

    def _finder(self, split: str | None) -> ImageFinder:
        if split not in self._finders:
            self._finders[split] = ImageFinder(self._tree, self._folders, self._file, split)
        return self._finders[split]

    def _claimed(self, name: str, split: str | None, size: tuple[int, int], line: int) -> _Image | None:
        """Add an image, unless it was before."""
        if name in self._used:
            reason = f"received the image {name}, which {self._used[name]} has already"
            self._collector.refuse(self._file, line, reason, split=split, file_name=name)
            return None
        self._used[name] = f"{self._file}, line {line}"
        return _Image(self._collector.add_image(name, size, split=split, file=self._file, number=line), name, split)

    def _add_shape(self, tag: str, attributes: Mapping[str, str], parent: str) -> None:
        line = self._parser.CurrentLineNumber
        if tag in SHAPES_WITHOUT_BOX:
            self._collector.pass_over(f"elements <{tag}>", f"{self._file}, line {line}")
            return
        if tag not in SHAPES:
            return
        image = self._image
        class_name = (attributes.get("label", "") if parent == "image" else self._track_label).strip()
        try:
            if parent == "image" and image is None:
                raise BoxlineError("its image is refused")
            if not class_name:
                raise BoxlineError("it has no label")
            found = _Object(line, class_name, _shape(tag, attributes))
            frame = _frame(attributes) if parent == "track" else 0
        except BoxlineError as error:
            received = " ".join(f'{key}="{value}"' for key, value in attributes.items())
            reason = f"received <{tag} {truncate(received)}>: {error}"
            split, name = (image.split, image.name) if image else (None, None)
            self._collector.refuse(self._file, line, reason, split=split, file_name=name)
            return
        if parent == "track" and attributes.get("outside", "0") == "1":
            self._collector.pass_over("shapes outside of their frame", f"{self._file}, line {line}")
        elif parent == "track":
            self._frames[frame].append(found)
        elif image is not None:
            self._add_box(image, found)

    def _add_box(self, image: _Image, found: _Object) -> None:
        box_xywh, area, outline = found.shape
        self._collector.add_box(
            image.number, found.class_name, box_xywh, file=self._file, number=found.line, area=area, outline=outline
        )

    def _add_frames(self) -> None:
        """Add the images of a video in the order of their frames, those without objects too."""
        if not self._video_line:
            return
        names = self._frame_names()
        for frame in sorted(names.keys() | self._frames.keys()):
            candidates = names.get(frame, [])
            image = None
            if len(candidates) == 1:
                [name] = candidates
                split = split_of_path(name) or split_of_path(self._file)
                size = self._video_size if all(self._video_size) else self._tree.image_size(name)
                image = self._claimed(name, split, size, self._video_line)
            for found in self._frames.get(frame, []):
                if image is not None:
                    self._add_box(image, found)
                    continue
                folder = PurePosixPath(self._file).parent
                reason = (
                    f"received an object in frame {frame} of a video, expected one image frame_{frame:06} below the "
                    f"folder {folder}, found {join_items(candidates, 3) or 'none'}. Export the task with its images"
                )
                self._collector.refuse(self._file, found.line, reason)

    def _frame_names(self) -> Mapping[int, list[str]]:
        folder = self._file.rpartition("/")[0]
        prefix = f"{folder}/" if folder else ""
        names: dict[int, list[str]] = defaultdict(list)
        for name in with_suffix(self._tree.names(), *IMAGE_SUFFIXES):
            match = FRAME.fullmatch(PurePosixPath(name).stem)
            if match and name.startswith(prefix):
                names[int(match[1])].append(name)
        return names


def _frame(attributes: Mapping[str, str]) -> int:
    text = attributes.get("frame", "")
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII):
        raise BoxlineError("frame is not a whole number")
    return int(text)


def _shape(tag: str, attributes: Mapping[str, str]) -> Shape:
    """The shape of an element.

    Raises:
        BoxlineError: if attributes are missing or no numbers.

    """
    if tag == "polygon":
        corners = _points(attributes)
        if len(corners) < 3:
            raise BoxlineError(f"points has {pluralize(len(corners), 'corner', 'corners')}, and 3 are needed")
        return polygons([corners])
    radians = math.radians(_number(attributes, "rotation")) if "rotation" in attributes else 0.0
    if tag == "ellipse":
        x, y, radius_x, radius_y = (_number(attributes, key) for key in ("cx", "cy", "rx", "ry"))
        return ellipse(x, y, radius_x, radius_y, radians)
    if tag == "mask":
        left, top, width, height = (_number(attributes, key) for key in ("left", "top", "width", "height"))
        return Shape((left, top, width, height))
    left, top, right, bottom = (_number(attributes, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    return rotated_box((left, top, right - left, bottom - top), radians, ((left + right) / 2, (top + bottom) / 2))


def _number(attributes: Mapping[str, str], key: str) -> float:
    try:
        return coordinate(attributes.get(key))
    except ValueError:
        raise BoxlineError(f"{key} is not a number") from None


def _points(attributes: Mapping[str, str]) -> list[Point]:
    """The corners of `x,y;x,y;...`."""
    try:
        pairs = [text.split(",") for text in attributes.get("points", "").split(";")]
        return [(coordinate(x), coordinate(y)) for x, y in pairs]
    except ValueError:
        raise BoxlineError("points are not pairs of numbers x,y;x,y;...") from None
