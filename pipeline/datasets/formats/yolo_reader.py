"""Reads YOLO: a text file per image with a line per object, and `data.yaml` or lists of class names and images."""

import contextlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.member_lookup import NameLookup, NameLookupError, with_slashes
from pipeline.core.config import Config
from pipeline.core.errors import BoxlineError
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.split_names import SPLITS, split_named, split_of_path
from pipeline.datasets.formats.yolo_data import (
    MAX_LIST_BYTES,
    YoloData,
    find_data_files,
    find_image_lists,
    is_names_file,
    read_data,
)
from pipeline.datasets.formats.yolo_labels import BYTE_ORDER_MARK, Labels, RefusedLine, parse_labels
from pipeline.geometry.boxes import Boxes

MAX_LABEL_BYTES = 16 << 20
CHUNK_FILES = 2048
CHUNK_BYTES = 16 << 20
"""Files, and bytes of them, that are parsed at once."""

SAMPLED_FILES = 20
"""Label files that are looked into where no data.yaml says that they are labels."""


class YoloOptions(Config):
    """The options of YOLO.

    Attributes:
        data: name of the file that describes the dataset; needed only if there are several. None to look for it.

    """

    data: str | None = None


class _Place(NamedTuple):
    """Where the files assign an image to a split: in a list, or by the image's folder, with an empty file."""

    split: str | None
    file: str = ""
    number: int = 0


class YoloReader(FormatReader[YoloOptions]):
    """Reads images of the splits of `data.yaml`, and all images if there is none.

    The labels of `images/1.jpg` are `labels/1.txt`, as Ultralytics has it, or beside the image. If no image has such a
    file, labels in any folder count that have the name of exactly one image. An image without labels is a background.
    """

    options_class = YoloOptions

    def detect(self, tree: FileTree) -> Detection | None:
        """Look for data.yaml, else into a few of the text files at the usual places of labels."""
        names = tree.names()
        images = with_suffix(names, *IMAGE_SUFFIXES)
        label_of = _LabelNames(names, images)
        labels = sorted({label for image in images if (label := label_of[image])})  # images may share one
        if data_files := find_data_files(tree):
            return Detection(f"{data_files[0]} and {pluralize(len(labels), 'label file', 'label files')}", len(labels))
        if not label_of.are_at_usual_places:
            return None
        found = parse_labels(list(_contents(tree, labels[:: max(1, len(labels) // SAMPLED_FILES)])))
        if not len(found.files) or len(found.refused) > len(found.files):
            return None
        evidence = f"{pluralize(len(labels), 'text file', 'text files')} with a class and a box per line"
        return Detection(evidence, len(labels))

    def read(self, tree: FileTree, options: YoloOptions, classes: tuple[str, ...] = ()) -> Reading:
        """Read the images in the order of their names."""
        data = read_data(tree, options.data)
        if data.names is None and classes:
            data, classes = replace(data, names=dict(enumerate(classes))), ()
        collector = AnnotationCollector(tree, "line", classes)
        collector.declare_classes(list(data.names.values()) if data.names else [])
        if data.problem:
            collector.refuse(data.file, 0, data.problem)
        builder = _Builder(tree, data, collector)
        builder.add_images()
        builder.account_for_other_files()
        del builder  # its names of a million files are not needed beside the tables
        return collector.finish()


def _contents(tree: FileTree, files: Sequence[str]) -> Iterator[bytes]:
    """The contents of those that can be read."""
    for file in files:
        with contextlib.suppress(BoxlineError):
            yield tree.read(file, MAX_LABEL_BYTES)


class _LabelNames:
    """The label file of each image.

    Attributes:
        are_at_usual_places: whether any label file is where Ultralytics looks for it, or beside its image.

    """

    def __init__(self, files: Sequence[str], images: Sequence[str]) -> None:
        # By themselves, so that a look-up gives the text of the tree and not an equal one, which would be kept too.
        self._texts = {name: name for name in files if name.lower().endswith(".txt") and not is_names_file(name)}
        self._by_stem: dict[str, str] = {}
        self.are_at_usual_places = any(self._by_rule(image) for image in images)
        if not self.are_at_usual_places:
            self._by_stem = _unique_stems(self._texts)
            image_by_stem = _unique_stems(images)
            self._by_stem = {image_by_stem[stem]: text for stem, text in self._by_stem.items() if stem in image_by_stem}

    def __getitem__(self, image: str) -> str | None:
        return self._by_rule(image) or self._by_stem.get(image)

    def _by_rule(self, image: str) -> str | None:
        stem = image[: image.rfind(".")]
        front, folder, rest = f"/{stem}".rpartition("/images/")
        candidate = f"{front}/labels/{rest}.txt"[1:]
        if folder and candidate in self._texts:
            return self._texts[candidate]
        return self._texts.get(f"{stem}.txt")


def _unique_stems(files: Iterable[str]) -> dict[str, str]:
    """The files by their names without folder and suffix, those that no other file has."""
    by_stem: dict[str, str] = {}
    repeated = set()
    for file in files:
        stem = PurePosixPath(file).stem
        if by_stem.setdefault(stem, file) != file:
            repeated.add(stem)
    return {stem: file for stem, file in by_stem.items() if stem not in repeated}


def _places(
    tree: FileTree, files: Sequence[str], images: Sequence[str], data: YoloData, collector: AnnotationCollector
) -> Mapping[str, _Place]:
    """The images to read, with their splits."""
    paths = _Paths(files, data)
    places: dict[str, _Place] = {}
    for split, listed in data.splits.items():
        for path in listed:
            found = paths.find(path)
            if found is None:
                collector.pass_over("splits without a folder or list", f"{split}: {path}")
            else:
                _add_places(tree, images, found, split, places, collector)
    if not places:
        for file, split in sorted(find_image_lists(tree).items(), key=lambda one: (SPLITS.index(one[1]), one[0])):
            _add_places(tree, images, file, split, places, collector)
    # Roboflow writes a folder test/ that its data.yaml does not name; one that is elsewhere is of another dataset.
    takes_all = not places
    by_folder: dict[str, _Place] = {}
    for image in [image for image in images if image.startswith(data.folder)] or images:
        folder = image[: image.rfind("/") + 1]
        if folder not in by_folder:
            by_folder[folder] = _Place(split_of_path(image))
        place = by_folder[folder]
        if takes_all or (place.split and place.split not in data.splits):
            places.setdefault(image, place)
    return places


def _add_places(
    tree: FileTree,
    images: Sequence[str],
    found: str,
    split: str,
    places: dict[str, _Place],
    collector: AnnotationCollector,
) -> None:
    """Add the images of a folder, or of a list."""
    added: Iterable[tuple[str, _Place]]
    if found in tree:
        added = _listed_images(tree, found, split)
    else:
        start, stop = (bisect_left(images, found + end) for end in ("/", "0")) if found else (0, len(images))
        place = _Place(split)
        added = ((image, place) for image in images[start:stop])
    for image, place in added:
        if places.setdefault(image, place) is not place:
            collector.pass_over("images that a split or list names again", f"{split}: {image}")


def _listed_images(tree: FileTree, file: str, split: str) -> Iterator[tuple[str, _Place]]:
    folder = file[: file.rfind("/") + 1]
    text = tree.read(file, MAX_LIST_BYTES).decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if path := line.strip():
            name = with_slashes(path)
            yield tree.find(name, folder) or tree.find(name) or name, _Place(split, file, number)


class _Paths:
    """Finds the folders and lists that data.yaml names: relative to itself, to `path`, or on its author's machine."""

    def __init__(self, files: Sequence[str], data: YoloData) -> None:
        folders = {""}
        for file in files:
            folder = file
            while (folder := folder[: max(folder.rfind("/"), 0)]) not in folders:
                folders.add(folder)
        self._lookup = NameLookup({*folders, *with_suffix(files, ".txt")} - {""})
        self._data = data

    def find(self, path: str) -> str | None:
        """The name of a folder or file of the tree, or None."""
        root, parts = _parts(self._data.root), _parts(path)
        for front in (root, []):
            name = "/".join([*front, *parts])
            if not name:
                return self._data.folder.rstrip("/")
            for folder in (self._data.folder, ""):
                try:
                    found = self._lookup.find(name, folder)
                except NameLookupError:
                    continue
                # A look-up drops folders in front, which must not make train/images the images of another split.
                if {part.lower() for part in parts if split_named(part)} <= set(found.lower().split("/")):
                    return found
        return None


def _parts(path: str) -> list[str]:
    """The parts of a path, from the first that is below the folder of the file: Roboflow writes ../train/images."""
    return [part for part in with_slashes(path).split("/") if part not in ("", "..")]


class _Builder:
    """Turns labels into rows, a chunk of files at a time."""

    def __init__(self, tree: FileTree, data: YoloData, collector: AnnotationCollector) -> None:
        """Find the images to read, and their labels.

        Raises:
            BoxlineError: if no image has a label file.

        """
        self._tree = tree
        self._data = data
        self._collector = collector
        self._files = tree.names()
        self._images = with_suffix(self._files, *IMAGE_SUFFIXES)
        self._places = _places(tree, self._files, self._images, data, collector)
        self._label_of = _LabelNames(self._files, self._images)
        self._used_labels: set[str] = set()
        if not any(self._label_of[image] for image in self._places):
            raise BoxlineError("no image has a label file, expected a text file of its name beside it or in labels/")

    def add_images(self) -> None:
        """Add the images and their boxes."""
        images = sorted(self._places)
        for start in range(0, len(images), CHUNK_FILES):
            self._add_images(images[start : start + CHUNK_FILES])

    def _add_images(self, images: Sequence[str]) -> None:
        chunk = _Chunk()
        labeled = self._add_rows(images)
        contents = self._tree.read_many([one.label for one in labeled], MAX_LABEL_BYTES)
        for one, content in zip(labeled, contents, strict=True):
            if isinstance(content, BoxlineError):
                reason = f"received a file that cannot be read ({content})"
                self._collector.refuse(one.label, 0, reason, split=one.split, file_name=one.image)
            elif one.size == (0, 0):
                rows = pluralize(num_lines(content), "row", "rows")
                reason = f"received {rows} of an image whose size cannot be read, expected an intact image: {one.image}"
                self._collector.refuse(one.label, 0, reason, split=one.split, file_name=one.image)
            else:
                chunk.append(one, content)
                if chunk.num_bytes > CHUNK_BYTES:
                    self._flush(chunk)
                    chunk = _Chunk()
        self._flush(chunk)

    def _add_rows(self, images: Sequence[str]) -> "list[_Labeled]":
        """Add images without their boxes; returns those that have a label file."""
        labeled = []
        for image, size in zip(images, self._tree.image_sizes(images), strict=True):
            label = self._label_of[image]
            if label in self._used_labels:
                self._collector.pass_over("images with the label file of another image", image)
                continue
            place = self._places[image]
            file, number = (place.file, place.number) if place.file else (label or image, 0)
            row = self._collector.add_image(image, size, split=place.split, file=file, number=number)
            if label is not None:
                self._used_labels.add(label)
                labeled.append(_Labeled(row, image, place.split, size, label))
        return labeled

    def _flush(self, chunk: "_Chunk") -> None:
        labels = parse_labels(chunk.contents, self._data.keypoint_values)
        known, class_rows = np.unique(labels.classes, return_inverse=True)
        class_names = [str(one) if self._data.names is None else self._data.names.get(int(one), "") for one in known]
        has_name = np.array([bool(name) for name in class_names], bool)[class_rows]
        refused = labels.refused + self._without_name(labels, ~has_name)
        for file, line, reason in sorted(refused):
            one = chunk.labeled[file]
            self._collector.refuse(one.label, line, reason, split=one.split, file_name=one.image)
        kept = np.flatnonzero(has_name)
        position_of = {int(row): position for position, row in enumerate(kept)} if labels.outlines else {}
        outlines = {position_of[row]: corners for row, corners in labels.outlines.items() if row in position_of}
        files = labels.files[kept]
        sizes = np.array([one.size for one in chunk.labeled], np.float64).reshape(-1, 2)[files]
        boxes_xywh, areas, outline_texts = _to_pixels(labels.boxes[kept], outlines, sizes)
        self._collector.add_boxes(
            np.array([one.row for one in chunk.labeled], np.int64)[files],
            (class_names, class_rows[kept]),
            boxes_xywh,
            files=([one.label for one in chunk.labeled], files),
            numbers=labels.lines[kept],
            areas=areas,
            outlines=outline_texts,
        )

    def _without_name(self, labels: Labels, selected: NDArray[np.bool_]) -> list[RefusedLine]:
        stated = self._data.file or "the list of classes"
        columns = (labels.files[selected], labels.lines[selected], labels.classes[selected])
        return [
            RefusedLine(
                file,
                line,
                f"received class {index}, expected one that {stated} names: {_ranges(self._data.names or {})}",
            )
            for file, line, index in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def account_for_other_files(self) -> None:
        """Refuse labels without an image, and pass over what is neither an image nor a label."""
        other_labels = set()
        for image in self._images:
            if image not in self._places:
                self._collector.pass_over("images outside of the splits", image)
                if (label := self._label_of[image]) and label not in self._used_labels:
                    other_labels.add(label)
                    self._collector.pass_over("label files of images outside of the splits", label)
        folders = {label[: label.rfind("/") + 1] for label in self._used_labels}
        lists = {self._data.file, *self._data.names_files, *(place.file for place in self._places.values())}
        for file in self._files:
            if file in self._places or file in self._used_labels or file in other_labels or file in lists:
                continue
            folder = file[: file.rfind("/") + 1]
            is_text = file.lower().endswith(".txt") and not is_names_file(file)
            if is_text and "labels" in folder.lower().split("/"):
                self._refuse_without_image(file, self._read(file))
            elif is_text and folder in folders and len(parse_labels([content := self._read(file)]).files):
                self._refuse_without_image(file, content)
            elif not file.lower().endswith(IMAGE_SUFFIXES):
                self._collector.pass_over("other files", file)

    def _refuse_without_image(self, label: str, content: bytes) -> None:
        rows = pluralize(num_lines(content), "row", "rows")
        self._collector.refuse(label, 0, f"received a label file with {rows}, expected an image of this name")

    def _read(self, file: str) -> bytes:
        return next(_contents(self._tree, [file]), b"")


class _Labeled(NamedTuple):
    """An image with a label file, and the number that the collector gave it."""

    row: int
    image: str
    split: str | None
    size: tuple[int, int]
    label: str


class _Chunk:
    """Label files that are parsed at once, and their images."""

    def __init__(self) -> None:
        self.labeled: list[_Labeled] = []
        self.contents: list[bytes] = []
        self.num_bytes = 0

    def append(self, labeled: _Labeled, content: bytes) -> None:
        self.labeled.append(labeled)
        self.contents.append(content)
        self.num_bytes += len(content)


def _to_pixels(
    boxes: Boxes, outlines: Mapping[int, NDArray[np.float64]], sizes: NDArray[np.float64]
) -> tuple[Boxes, NDArray[np.float64], dict[int, str]]:
    """Boxes in pixels, their areas, and the outlines as JSON.

    Args:
        boxes: center x, center y, width and height as fractions, [N, 4].
        outlines: corners as fractions, [P, 2], of those whose box is that of an outline.
        sizes: width and height of the image in pixels, [N, 2].

    """
    sides = boxes[:, 2:]
    boxes_xywh = np.concatenate([(boxes[:, :2] - sides / 2) * sizes, sides * sizes], axis=1)
    areas = boxes_xywh[:, 2] * boxes_xywh[:, 3]
    texts = {}
    for row, fractions in outlines.items():
        corners = fractions * sizes[row]
        low, high = corners.min(axis=0), corners.max(axis=0)
        boxes_xywh[row] = (*low, *(high - low))
        areas[row] = _polygon_area(corners - low)
        texts[row] = msgspec.json.encode([corners.ravel().tolist()]).decode()
    return boxes_xywh, areas, texts


def _polygon_area(corners: NDArray[np.float64]) -> float:
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _ranges(names: Mapping[int, str]) -> str:
    """The class indices in words: 0 to 6, 9."""
    indices = np.array(sorted(names))
    parts = np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1) if len(indices) else []
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts[:10])


def num_lines(content: bytes) -> int:
    """How many lines are not blank."""
    return sum(bool(line.strip()) for line in content.removeprefix(BYTE_ORDER_MARK).splitlines())
