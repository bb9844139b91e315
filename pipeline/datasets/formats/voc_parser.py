"""Parses XML files of VOC, many at once into columns."""

import xml.etree.ElementTree as ET
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError, truncate
from pipeline.datasets.formats.pixel_numbers import coordinate, side
from pipeline.datasets.formats.xml_files import parse_xml

ROOT = "annotation"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocAnnotation(NamedTuple):
    """The content of one XML file.

    Attributes:
        filename: how it names its image; empty if it does not.
        size: width and height of the image in pixels; 0 for what it does not state.
        objects: number from 1, class, and the corners xmin, ymin, xmax, ymax as stated, of each object with a box.
        refused: number of each other object, and what is wrong with it.

    """

    filename: str
    size: tuple[int, int]
    objects: list[tuple[int, str, list[float]]]
    refused: list[tuple[int, str]]


@dataclass
class VocFiles:
    """The content of many XML files; files are named by their positions.

    Attributes:
        problems: why a file cannot be read.
        others: files without an annotation.
        filenames: how each file names its image; empty if it does not.
        sizes: width and height of each image in pixels; 0 for what the file does not state.
        files: of each box, [N].
        numbers: of the objects in their files, from 1, [N].
        class_names: the classes of the boxes.
        classes: position of the class of each box in `class_names`, [N].
        corners: xmin, ymin, xmax, ymax as stated, [N, 4].
        refused: file, number and reason of each object without a box.

    """

    problems: dict[int, str] = field(default_factory=dict)
    others: set[int] = field(default_factory=set)
    filenames: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    files: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    class_names: list[str] = field(default_factory=list)
    classes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    corners: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 4)))
    refused: list[tuple[int, int, str]] = field(default_factory=list)


def parse_annotation(content: bytes) -> VocAnnotation | None:
    """Parse one XML file; None if it is of another kind.

    Raises:
        BoxlineError: if it is not XML.

    """
    root = parse_xml(content)
    if root.tag != ROOT:
        return None
    size = root.find("size")
    width, height = (0, 0) if size is None else (side(size.findtext("width")), side(size.findtext("height")))
    annotation = VocAnnotation((root.findtext("filename") or "").strip(), (width, height), [], [])
    for number, element in enumerate(root.iter("object"), 1):
        # Children only: the parts of an object (head, hand, foot) have names and boxes too.
        class_name = (element.findtext("name") or "").strip()
        box = element.find("bndbox")
        texts = {} if box is None else {child.tag: child.text or "" for child in box}
        try:
            corners = [coordinate(texts[key]) for key in CORNERS]
        except (KeyError, ValueError):
            corners = []
        if class_name and corners:
            annotation.objects.append((number, class_name, corners))
        else:
            annotation.refused.append((number, _reason(element, class_name, texts)))
    return annotation


def parse_annotations(contents: Sequence[bytes | BoxlineError]) -> VocFiles:
    """Parse XML files. An error instead of a content says why the file could not be read."""
    found = VocFiles()
    files, numbers, classes, corners = array("q"), array("q"), array("q"), array("d")
    class_numbers: dict[str, int] = {}
    for position, content in enumerate(contents):
        annotation = None
        try:
            if isinstance(content, BoxlineError):
                raise content
            annotation = parse_annotation(content)
            if annotation is None:
                found.others.add(position)
        except BoxlineError as error:
            found.problems[position] = str(error)
        filename, size, objects, refused = annotation or ("", (0, 0), (), ())
        found.filenames.append(filename)
        found.sizes.append(size)
        for number, class_name, object_corners in objects:
            files.append(position)
            numbers.append(number)
            classes.append(class_numbers.setdefault(class_name, len(class_numbers)))
            corners.extend(object_corners)
        found.refused += [(position, number, reason) for number, reason in refused]
    found.files, found.numbers, found.classes = (np.array(column, np.int64) for column in (files, numbers, classes))
    found.class_names = list(class_numbers)
    found.corners = np.array(corners, np.float64).reshape(-1, 4)
    return found


def _reason(element: ET.Element, class_name: str, texts: dict[str, str]) -> str:
    if not class_name:
        return "received an object without <name>, expected the name of its class"
    stated = ", ".join(f"{key} {texts[key].strip()!r}" for key in CORNERS if key in texts)
    received = stated or f"the elements {', '.join(child.tag for child in element)}"
    return f"received {truncate(received)}, expected <bndbox> with the numbers {', '.join(CORNERS)}"
