"""Reads Pascal VOC: one XML file per image, in `Annotations/` with lists in `ImageSets/Main/`, or beside the images.

Objects marked as difficult or truncated are ordinary boxes. The boxes of the parts of an object are not read.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.core.config import Config, IntegerLiteral
from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import pluralize
from pipeline.core.process_pool import map_processes
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.annotated_images import AnnotatedImages
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.split_names import split_of_path
from pipeline.datasets.formats.voc_lists import ImageLists
from pipeline.datasets.formats.voc_parser import ROOT, VocFiles, parse_annotations
from pipeline.datasets.formats.xml_files import root_tag

MAX_XML_BYTES = 4 << 20
"""Ten thousand objects take less; the elements of a file take up to fifty times its size in memory."""

CHUNK_FILES = 1024
CHUNK_BYTES = 16 << 20
"""Files, and bytes of them, that are parsed at once."""

MIN_FILES_FOR_PROCESSES = 20_000
"""Fewer are parsed before other processes have started."""

MAX_EXAMINED_FILES = 8


class VocOptions(Config):
    """The options of VOC.

    Attributes:
        first_pixel: number of the leftmost and topmost pixel. With 0, the corners are the edges of the box, as most
            tools write them. With 1, they are the first and the last pixel of the box, as in the specification: 1 is
            subtracted from the left and the top edge, so that 1, 1, width, height is the whole image.

    """

    first_pixel: Annotated[Literal[0, 1], IntegerLiteral] = 0


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
        _collect(collector, tree, options.first_pixel)  # which frees most memory before the tables are made
        collector.require_images(f"there are no images with XML files whose root is <{ROOT}>")
        return collector.finish()


def _collect(collector: AnnotationCollector, tree: FileTree, first_pixel: int) -> None:
    files = with_suffix(tree.names(), ".xml")
    images = AnnotatedImages(tree, files)
    lists = ImageLists(tree, files, images, collector)
    map_chunks = map_processes if len(files) >= MIN_FILES_FOR_PROCESSES else map
    start = 0
    for found in map_chunks(parse_annotations, _chunks(tree, files)):
        end = start + len(found.filenames)
        _Chunk(collector, tree, images, lists, files[start:end], found).add(first_pixel)
        start = end
    for name, place in lists.without_file():
        if images.claim(name, place.file) is None:
            collector.add_image(name, tree.image_size(name), split=place.split, file=place.file, number=place.line)
    collector.pass_over_unused(lists.files, images.claimed(), suffix=".xml")


def _chunks(tree: FileTree, files: Sequence[str]) -> Iterator[list[bytes | BoxlineError]]:
    """The contents of the files, some at a time."""
    chunk: list[bytes | BoxlineError] = []
    num_bytes = 0
    for content in tree.read_many(files, MAX_XML_BYTES):
        chunk.append(content)
        num_bytes += len(content) if isinstance(content, bytes) else 0
        if len(chunk) == CHUNK_FILES or num_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk


@dataclass(frozen=True)
class _Chunk:
    """Some of the files in the order of their names, and their content."""

    collector: AnnotationCollector
    tree: FileTree
    images: AnnotatedImages
    lists: ImageLists
    files: Sequence[str]
    found: VocFiles

    def add(self, first_pixel: int) -> None:
        """Give everything to the collector."""
        found = self.found
        images = np.array([self._add_image(position) for position in range(len(self.files))], np.int64)
        kept = images[found.files] >= 0
        corners = found.corners[kept]
        corners[:, :2] -= first_pixel
        self.collector.add_boxes(
            images[found.files[kept]],
            (found.class_names, found.classes[kept]),
            np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
            files=(self.files, found.files[kept]),
            numbers=found.numbers[kept],
        )

    def _add_image(self, position: int) -> int:
        """Add the image of a file and return its number, or -1 if it has none."""
        collector, file, found = self.collector, self.files[position], self.found
        if position in found.problems:
            collector.refuse(file, 0, found.problems[position])
            return -1
        if position in found.others:
            collector.pass_over(f"XML files without <{ROOT}>", file)
            return -1
        split, is_used = self.lists.split_of(file)
        if not is_used:
            collector.pass_over("annotation files in no list", file)
            return -1
        filename, size = found.filenames[position], found.sizes[position]
        name, names_another = self.images.find(file, filename)
        split = split or split_of_path(file) or split_of_path(name)
        if names_another:
            collector.pass_over("names of other images in <filename>", f"{file}: {filename}")
        if reason := self.images.claim(name, file):
            collector.refuse(file, 0, reason, split=split, file_name=name)
            return -1
        for number, reason in self._refused.get(position, []):
            collector.refuse(file, number, reason, split=split, file_name=name)
        return collector.add_image(name, size if all(size) else self.tree.image_size(name), split=split, file=file)

    @cached_property
    def _refused(self) -> Mapping[int, list[tuple[int, str]]]:
        """Number and reason of the refused objects of each file."""
        refused: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for position, number, reason in self.found.refused:
            refused[position].append((number, reason))
        return refused
