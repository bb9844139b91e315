"""Reads Pascal VOC: one XML file per image, in `Annotations/` with lists in `ImageSets/Main/`, or beside the images.

Objects marked as difficult or truncated are ordinary boxes. The boxes of the parts of an object are not read.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.core.config import Config, IntegerLiteral
from pipeline.core.errors import BoxlineError, truncate
from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.annotated_images import AnnotatedImages
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.pixel_numbers import coordinate, side
from pipeline.datasets.formats.split_names import split_of_path
from pipeline.datasets.formats.voc_lists import ImageLists
from pipeline.datasets.formats.xml_files import parse_xml, root_tag

MAX_XML_BYTES = 4 << 20
"""Ten thousand objects take less; the elements of a file take up to fifty times its size in memory."""

MAX_EXAMINED_FILES = 8

ROOT = "annotation"
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocOptions(Config):
    """The options of VOC.

    Attributes:
        first_pixel: number of the leftmost and topmost pixel. With 0, the corners are the edges of the box, as most
            tools write them. With 1, they are the first and the last pixel of the box, as in the specification: 1 is
            subtracted from the left and the top edge, so that 1, 1, width, height is the whole image.

    """

    first_pixel: Annotated[Literal[0, 1], IntegerLiteral] = 0


@dataclass(slots=True)
class VocAnnotation:
    """The content of one XML file.

    Attributes:
        filename: how it names its image; empty if it does not.
        size: width and height of the image in pixels; 0 for what it does not state.
        objects: number from 1, class, and the corners xmin, ymin, xmax, ymax as stated, of each object with a box.
        refused: number of each other object, and what is wrong with it.

    """

    filename: str
    size: tuple[int, int]
    objects: list[tuple[int, str, list[float]]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)


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
    annotation = VocAnnotation((root.findtext("filename") or "").strip(), (width, height))
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


class VocReader(FormatReader[VocOptions]):
    """Reads every XML file whose root is `annotation`. Lists in `ImageSets/Main/`, else folders, give the splits.

    The list `trainval` is read as train, where there is neither train nor val. Where there are lists, files in none of
    them are passed over, and images in a list without a file have no boxes.
    """

    options_class = VocOptions

    def detect(self, tree: FileTree) -> Detection | None:
        """Look at the beginning of a few XML files."""
        files = with_suffix(tree.names(), ".xml")
        examined = files[:: len(files) // MAX_EXAMINED_FILES + 1]
        num_found = sum(root_tag(tree, file) == ROOT for file in examined)
        if num_found == 0:
            return None
        found = f"<{ROOT}> in {num_found} of {len(examined)} that were looked at"
        return Detection(f"{pluralize(len(files), 'XML file', 'XML files')}, {found}", len(files))

    def read(self, tree: FileTree, options: VocOptions, classes: tuple[str, ...] = ()) -> Reading:
        """Read all XML files in the order of their names, then the images that only lists name."""
        collector = AnnotationCollector(tree, "object", classes, image_element="line")
        files = with_suffix(tree.names(), ".xml")
        images = AnnotatedImages(tree, files)
        lists = ImageLists(tree, files, images, collector)
        for file in files:
            try:
                annotation = parse_annotation(tree.read(file, MAX_XML_BYTES))
            except BoxlineError as error:
                collector.refuse(file, 0, str(error))
                continue
            if annotation is None:
                collector.pass_over(f"XML files without <{ROOT}>", file)
                continue
            split, is_used = lists.split_of(file)
            if not is_used:
                collector.pass_over("annotation files in no list", file)
                continue
            name, names_another = images.find(file, annotation.filename)
            split = split or split_of_path(file) or split_of_path(name)
            if names_another:
                collector.pass_over("names of other images in <filename>", f"{file}: {annotation.filename}")
            if reason := images.claim(name, file):
                collector.refuse(file, 0, reason, split=split, file_name=name)
                continue
            size = annotation.size if all(annotation.size) else tree.image_size(name)
            image = collector.add_image(name, size, split=split, file=file)
            for number, class_name, (left, top, right, bottom) in annotation.objects:
                x, y = left - options.first_pixel, top - options.first_pixel
                collector.add_box(image, class_name, (x, y, right - x, bottom - y), file=file, number=number)
            for number, reason in annotation.refused:
                collector.refuse(file, number, reason, split=split, file_name=name)
        for name, place in lists.without_file():
            if images.claim(name, place.file) is None:
                collector.add_image(name, tree.image_size(name), split=place.split, file=place.file, number=place.line)
        collector.pass_over_unused({*files, *lists.files, *images.claimed()})
        collector.require_images(f"there are no images with XML files whose root is <{ROOT}>")
        return collector.finish()


def _reason(element: ET.Element, class_name: str, texts: dict[str, str]) -> str:
    if not class_name:
        return "received an object without <name>, expected the name of its class"
    stated = ", ".join(f"{key} {texts[key].strip()!r}" for key in CORNERS if key in texts)
    received = stated or f"the elements {', '.join(child.tag for child in element)}"
    return f"received {truncate(received)}, expected <bndbox> with the numbers {', '.join(CORNERS)}"
