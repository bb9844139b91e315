"""Reads CSV files with a row per box: an image, a class and a box in pixels or as fractions of the image."""

import logging
from array import array
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.core.formatting import pluralize
from pipeline.datasets.annotations import NO_SPLIT, Reading
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.csv_columns import CENTER, CORNERS, CsvLayout, CsvOptions, recognize_layout
from pipeline.datasets.formats.csv_file import LARGEST_FRACTION, Row, make_row, read_lines
from pipeline.datasets.formats.interfaces import Detection, FormatReader
from pipeline.datasets.formats.split_names import SPLITS, split_named, split_of_path
from pipeline.geometry.boxes import Boxes

logger = logging.getLogger(__name__)

MAX_CSV_BYTES = 4 << 30
HEAD_BYTES = 1 << 16
MAX_SAMPLED_FILES = 50

LARGEST_USUAL_FRACTION = 1.5
"""A box that reaches out of its image reaches no farther as a rule; of boxes in pixels, nearly all are farther."""

MAX_EXCEPTIONS = 0.1
"""Share of the boxes of a file that may speak against the unit of the others."""


class CsvReader(FormatReader[CsvOptions]):
    """Reads all CSV files with a column of images, one of classes, and those of a box.

    Splits are those of the column, else of the name of the file (train_labels.csv), its folder, or that of the image.
    """

    options_class = CsvOptions

    def detect(self, tree: FileTree) -> Detection | None:
        """Look at the first line of each file."""
        layouts = _layouts(tree, _csv_files(tree)[:MAX_SAMPLED_FILES], CsvOptions())
        found = {file: layout for file, layout in layouts.items() if isinstance(layout, CsvLayout)}
        if not found:
            return None
        header = next(iter(found.values())).columns.values()
        evidence = f"{pluralize(len(found), 'CSV file', 'CSV files')} with {join_items(header)}"
        return Detection(evidence, len(found))

    def read(self, tree: FileTree, options: CsvOptions, classes: tuple[str, ...] = ()) -> Reading:
        """Read the images in the order of their names, and the boxes in the order of the files and rows."""
        files = list(options.files) or _csv_files(tree)
        for file in files:
            if file not in tree:
                raise BoxlineError(f"options.files: {file} not found; expected names of files in the source.")
        layouts = _layouts(tree, files, options, has_one_class=len(classes) == 1)
        found = {file: layout for file, layout in layouts.items() if isinstance(layout, CsvLayout)}
        if not found:
            raise BoxlineError(str(next(iter(layouts.values()), "there are no CSV files")).removesuffix("."))
        collector = AnnotationCollector(tree, "line", classes)
        rows = _Rows(tree, collector, classes)
        for file, layout in found.items():
            rows.read(file, layout, options.units)
        rows.add()
        for file in tree.names():
            if file in layouts and file not in found:
                collector.pass_over("CSV files without columns of boxes", file)
            elif file not in found and not file.lower().endswith(IMAGE_SUFFIXES):
                collector.pass_over("other files", file)
        return collector.finish()


def _csv_files(tree: FileTree) -> list[str]:
    return with_suffix(tree.names(), ".csv", ".tsv")


def _layouts(
    tree: FileTree, files: Sequence[str], options: CsvOptions, *, has_one_class: bool = False
) -> dict[str, CsvLayout | BoxlineError]:
    """The layout of each file, or why it has none."""
    layouts: dict[str, CsvLayout | BoxlineError] = {}
    for file in files:
        try:
            layouts[file] = recognize_layout(
                file, tree.read_head(file, HEAD_BYTES), options, has_one_class=has_one_class
            )
        except BoxlineError as error:
            layouts[file] = error
    return layouts


class _Image(NamedTuple):
    """An image as a row names it first. `size` is 0, 0 if no column states it."""

    name: str
    size: tuple[int, int]
    file: str
    line: int


class _Rows:
    """The rows of all files, in arrays, because a million images have millions of them."""

    def __init__(self, tree: FileTree, collector: AnnotationCollector, classes: Sequence[str]) -> None:
        self._tree = tree
        self._collector = collector
        self._only_class = classes[0] if len(classes) == 1 else ""
        self._names = _ImageNames(tree)
        self._images: list[_Image] = []
        self._splits: list[str] = []  # of the images
        self._image_rows: dict[str, int] = {}
        self._classes: dict[str, int] = {}
        self._files: list[str] = []
        self._row_images = array("q")
        self._row_splits = array("b")
        self._row_files = array("q")
        self._row_lines = array("q")
        self._row_classes = array("q")
        self._boxes_xywh = array("d")
        self._are_fractions = array("b")

    def read(self, file: str, layout: CsvLayout, units: Literal["pixels", "fractions", "auto"]) -> None:
        """Read a file.

        Raises:
            BoxlineError: if the units of its boxes are to be recognized and can be both.

        """
        first = len(self._row_lines)
        self._files.append(file)
        split_of_file = split_named(PurePosixPath(file).stem) or split_of_path(file)
        content = self._tree.read(file, MAX_CSV_BYTES)
        lines = read_lines(content, layout.delimiter)
        if layout.has_header:
            next(lines)
        needed = frozenset(layout.columns.values())
        for line, fields in lines:
            if isinstance(fields, str):
                self._collector.refuse(file, line, fields)
                continue
            try:
                self._add_row(make_row(file, line, fields, layout.header, needed), layout, split_of_file)
            except BoxlineError as error:
                reason = str(error).removeprefix(f"{file}, line {line}").lstrip(":, ").removesuffix(".")
                self._collector.refuse(file, line, reason)
        self._to_xywh(first, layout)
        is_fraction = units == "fractions" or (units == "auto" and self._recognize_fractions(file, first))
        self._are_fractions.extend([is_fraction] * (len(self._row_lines) - first))

    def _add_row(self, row: Row, layout: CsvLayout, split_of_file: str | None) -> None:
        columns = layout.columns
        if not row[columns["image"]]:
            raise row.error(columns["image"], "the name of an image")
        split = self._split(row, columns) or split_of_file
        size = self._size(row, columns)
        is_background = not any(row[columns[role]] for role in layout.box_form)
        box = [0.0] * 4 if is_background else [row.number(columns[role]) for role in layout.box_form]
        label = row[columns["label"]] if "label" in columns else self._only_class
        if not label and not is_background:
            raise row.error(columns["label"], "the name of a class")
        image = self._image(row[columns["image"]], split, size, row)
        if size != (0, 0) and self._images[image].size != size:
            width, height = self._images[image].size
            raise BoxlineError(
                f"received an image size of {size[0]} x {size[1]}, expected {width} x {height} as in "
                f"{self._images[image].file}, line {self._images[image].line}"
            )
        self._row_images.append(image)
        self._row_splits.append(SPLITS.index(split) if split else len(SPLITS))
        self._row_files.append(len(self._files) - 1)
        self._row_lines.append(row.line)
        self._row_classes.append(-1 if is_background else self._classes.setdefault(label, len(self._classes)))
        self._boxes_xywh.extend(box)

    def _split(self, row: Row, columns: Mapping[str, str]) -> str | None:
        if "split" not in columns or not row[columns["split"]]:
            return None
        split = split_named(row[columns["split"]])
        if split is None:
            raise row.error(columns["split"], "train, val or test")
        return split

    def _size(self, row: Row, columns: Mapping[str, str]) -> tuple[int, int]:
        if not {"image_width", "image_height"} <= columns.keys():
            return 0, 0
        texts = [row[columns["image_width"]], row[columns["image_height"]]]
        return (row.integer(columns["image_width"]), row.integer(columns["image_height"])) if any(texts) else (0, 0)

    def _image(self, stated: str, split: str | None, size: tuple[int, int], row: Row) -> int:
        """The row of the image, which is added when a row names it first."""
        name = self._names.find(stated, row.file, split)
        image = self._image_rows.setdefault(name, len(self._images))
        if image == len(self._images):
            self._images.append(_Image(name, size, row.file, row.line))
        elif self._images[image].size == (0, 0):
            self._images[image] = self._images[image]._replace(size=size)
        return image

    def _to_xywh(self, first: int, layout: CsvLayout) -> None:
        """Replace the boxes of the file by left, top, width and height."""
        boxes = np.frombuffer(self._boxes_xywh, np.float64).reshape(-1, 4)[first:]
        if layout.box_form == CORNERS:
            boxes[:, 2:] -= boxes[:, :2]
        elif layout.box_form == CENTER:
            boxes[:, :2] -= boxes[:, 2:] / 2

    def _recognize_fractions(self, file: str, first: int) -> bool:
        has_box = np.frombuffer(self._row_classes, np.int64)[first:] >= 0
        boxes = np.frombuffer(self._boxes_xywh, np.float64).reshape(-1, 4)[first:][has_box]
        if not len(boxes):
            return False
        num_small = int((_farthest(boxes) <= LARGEST_USUAL_FRACTION).sum())
        is_fraction = num_small >= (1 - MAX_EXCEPTIONS) * len(boxes)
        if (is_fraction and (boxes == np.floor(boxes)).all()) or MAX_EXCEPTIONS < num_small / len(boxes) < (
            1 - MAX_EXCEPTIONS
        ):
            raise BoxlineError(
                f"{file}: {num_small} of {pluralize(len(boxes), 'box', 'boxes')} are within "
                f"{LARGEST_USUAL_FRACTION}, so their units may be pixels or fractions of the image. "
                "Name them: options: {units: pixels} or {units: fractions}"
            )
        unit = "fractions of the image" if is_fraction else "pixels"
        logger.info("%s: boxes are in %s: %d of %d are within 1.5", file, unit, num_small, len(boxes))
        return is_fraction

    def add(self) -> None:
        """Give all images and boxes to the collector, and pass over the images that no row names."""
        order = sorted(range(len(self._images)), key=lambda image: self._images[image].name)
        images, splits = (np.frombuffer(one, kind) for one, kind in ((self._row_images, "q"), (self._row_splits, "b")))
        # The first of train, val, test and none counts.
        split_of_image = np.full(len(self._images), len(SPLITS), np.int8)
        np.minimum.at(split_of_image, images, splits)
        numbers = np.zeros(len(self._images), np.int64)
        sizes = np.zeros((len(self._images), 2))
        for row in order:
            image = self._images[row]
            size = image.size if image.size != (0, 0) else self._tree.image_size(image.name)
            split = (*SPLITS, None)[split_of_image[row]] or split_of_path(image.name) or NO_SPLIT
            sizes[row] = size
            numbers[row] = self._collector.add_image(image.name, size, split=split, file=image.file, number=image.line)
        self._add_boxes(images, splits != split_of_image[images], numbers, sizes)
        for name in self._names.all():
            if name not in self._image_rows:
                self._collector.pass_over("images without rows", name)

    def _add_boxes(
        self,
        images: NDArray[np.int64],
        is_of_other_split: NDArray[np.bool_],
        numbers: NDArray[np.int64],
        sizes: NDArray[np.float64],
    ) -> None:
        classes, files, lines = (
            np.frombuffer(one, np.int64) for one in (self._row_classes, self._row_files, self._row_lines)
        )
        boxes_xywh = np.frombuffer(self._boxes_xywh, np.float64).reshape(-1, 4)
        is_fraction = np.frombuffer(self._are_fractions, np.int8).astype(bool)
        for row in np.flatnonzero(is_of_other_split):
            name = self._images[images[row]].name
            self._collector.pass_over("rows of images that an earlier split has", f"{name} ({self._files[files[row]]})")
        has_box = ~is_of_other_split & (classes >= 0)
        is_unusable = np.zeros(len(images), bool)
        is_far = _farthest(boxes_xywh) > LARGEST_FRACTION
        problems = (
            (~sizes[images].all(axis=1), "fractions of an image whose size is unknown, expected an intact image"),
            (is_far, "fractions far outside of the image, expected 0 to 1"),
        )
        for is_affected, problem in problems:
            for row in np.flatnonzero(has_box & is_fraction & is_affected & ~is_unusable):
                name = self._images[images[row]].name
                self._collector.refuse(self._files[files[row]], int(lines[row]), f"received {problem}", file_name=name)
            is_unusable |= is_fraction & is_affected
        kept = has_box & ~is_unusable
        scale = np.where(is_fraction[kept, None], np.tile(sizes[images[kept]], 2), 1.0)
        self._collector.add_boxes(
            numbers[images[kept]],
            (list(self._classes), classes[kept]),
            boxes_xywh[kept] * scale,
            files=(self._files, files[kept]),
            numbers=lines[kept],
        )


def _farthest(boxes_xywh: Boxes) -> NDArray[np.float64]:
    """The largest absolute coordinate of each box."""
    corners = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
    return np.abs(corners).max(axis=1, initial=0)


class _ImageNames:
    """Finds the images that rows name."""

    def __init__(self, tree: FileTree) -> None:
        self._tree = tree
        self._found: dict[tuple[str, str, str | None], str] = {}

    def all(self) -> list[str]:
        """The names of all images of the tree."""
        return with_suffix(self._tree.names(), *IMAGE_SUFFIXES)

    def find(self, stated: str, file: str, split: str | None) -> str:
        """The name of the image in the tree, or as stated if there is none.

        Args:
            stated: the name in the row.
            file: the CSV file.
            split: the split of the row, which tells apart images of one name in folders of several splits.

        """
        folder = file[: file.rfind("/") + 1]
        key = (stated, folder, split)
        if key not in self._found:
            found = self._tree.find(stated, folder) or self._tree.find(stated)
            self._found[key] = found or self._find_by_stem(stated, split) or stated
        return self._found[key]

    def _find_by_stem(self, stated: str, split: str | None) -> str | None:
        """The only image of this name in the folder of the split, or anywhere; the name may lack its suffix."""
        stem = PurePosixPath(stated.replace("\\", "/")).name.casefold()
        if stem.endswith(IMAGE_SUFFIXES):
            stem = stem.rpartition(".")[0]
        candidates = self._names_by_stem.get(stem, ())
        of_split = [name for name in candidates if split is not None and split_of_path(name) == split]
        fits = of_split or candidates
        return fits[0] if len(fits) == 1 else None

    @cached_property
    def _names_by_stem(self) -> Mapping[str, Sequence[str]]:
        names: dict[str, list[str]] = {}
        for name in self.all():
            names.setdefault(PurePosixPath(name).stem.casefold(), []).append(name)
        return names
