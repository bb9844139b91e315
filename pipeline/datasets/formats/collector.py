"""Collects the images and boxes of any format, and turns them into tables."""

import re
from array import array
from bisect import insort
from collections.abc import Container, Mapping, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.archives.file_tree import FileTree
from pipeline.core import schema
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.datasets.annotations import NO_SPLIT, Reading, Tables, categories_table

MAX_EXAMPLES = 3

OTHER_CLASSES = "boxes of classes that are not listed"

NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


class AnnotationCollector:
    """The images, the boxes and the problems that a reader finds.

    Images and boxes are numbered from 1 in the order in which they are added, so a reader adds them in the order of the
    names of their files. Numbers are held in arrays, because a million images have ten million boxes.
    """

    def __init__(
        self, tree: FileTree, element: str, classes: Sequence[str] = (), image_element: str | None = None
    ) -> None:
        """Start empty.

        Args:
            tree: the files, in which the images are looked for.
            element: what the numbers of rows count: "line", "object", ...
            classes: the only classes to keep, in the order of their class indices; all if empty.
            image_element: what the numbers of images count, if something else.

        """
        self._tree = tree
        self._element = element
        self._image_element = image_element or element
        self._kept_classes = frozenset(classes)
        self._class_numbers: dict[str, int] = {}
        self._num_declared = 0
        self.declare_classes(classes)
        self._image_names: list[str] = []
        self._image_splits: list[str] = []
        self._image_sizes: list[tuple[int, int]] = []
        self._sizes: dict[tuple[int, int], tuple[int, int]] = {}  # one object for all images of a size
        self._image_files: list[str] = []
        self._image_numbers = array("i")
        self._image_members: dict[int, tuple[str, str]] = {}
        self._files: list[str] = []  # of boxes; a name may occur again
        self._box_images = array("i")
        self._box_classes = array("i")
        self._box_sides = (array("d"), array("d"), array("d"), array("d"))  # x, y, width, height
        self._areas = array("d")
        self._crowd_flags = array("b")
        self._outlines: dict[int, str] = {}
        self._box_files = array("i")
        self._box_numbers = array("i")
        self._refused: list[tuple[str, str, int, str | None, str | None, str]] = []  # rows of schema.REFUSED
        self._passed_over: dict[str, _PassedOver] = {}

    def declare_classes(self, names: Sequence[str]) -> None:
        """State the classes that the files list, in their order. Classes of boxes that are not listed come after them.

        Without effect on the classes to keep, if there are any.
        """
        for name in names:
            if not self._kept_classes or name in self._kept_classes:
                self._class_numbers.setdefault(name, len(self._class_numbers))
        self._num_declared = len(self._class_numbers)

    def add_image(
        self,
        name: str,
        size: tuple[int, int],
        *,
        split: str | None = None,
        file: str = "",
        number: int = 0,
        archive_and_member: tuple[str, str] | None = None,
    ) -> int:
        """Add an image.

        Args:
            name: name of the file in the tree, or as the annotations have it if there is no such file. `validate`
                quarantines the image in that case.
            size: width and height in pixels; 0, 0 if unknown.
            split: train, val or test; None if the files do not say.
            file: the annotation file that names the image.
            number: of the line or element in `file`; 0 for the whole file.
            archive_and_member: where the image is, if it is no file of the tree: the path of the archive below the
                root, and the name of the image in it.

        Returns:
            The number of the image, to be given to `add_box`.

        """
        image = len(self._image_names)
        self._image_names.append(name)
        self._image_splits.append(split or NO_SPLIT)
        self._image_sizes.append(self._sizes.setdefault(size, size))
        self._image_files.append(file or name)
        self._image_numbers.append(number)
        if archive_and_member is not None:
            self._image_members[image] = archive_and_member
        return image

    def add_box(
        self,
        image: int,
        class_name: str,
        box_xywh: Sequence[float],
        *,
        file: str,
        number: int,
        area: float | None = None,
        outline: str | None = None,
        is_crowd: bool = False,
    ) -> None:
        """Add a box.

        Args:
            image: what `add_image` returned.
            class_name: its class; a class that is not to be kept is counted and passed over.
            box_xywh: left, top, width and height in pixels, whatever they are: `pipeline.validation` checks them.
            file: the annotation file.
            number: of the line or element in `file`.
            area: of the outline in square pixels; that of the box if None.
            outline: polygons as COCO has them, as JSON.
            is_crowd: whether the box is around many objects.

        """
        if self._kept_classes and class_name not in self._kept_classes:
            self.pass_over(OTHER_CLASSES, class_name)
            return
        if outline is not None:
            self._outlines[len(self._box_images)] = outline
        self._box_images.append(image)
        self._box_classes.append(self._class_numbers.setdefault(class_name, len(self._class_numbers)))
        for values, side in zip(self._box_sides, box_xywh, strict=True):
            values.append(side)
        self._areas.append(box_xywh[2] * box_xywh[3] if area is None else area)
        self._crowd_flags.append(is_crowd)
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        self._box_files.append(len(self._files) - 1)
        self._box_numbers.append(number)

    def add_boxes(
        self,
        images: NDArray[np.int64],
        classes: tuple[Sequence[str], NDArray[np.int64]],
        boxes_xywh: NDArray[np.float64],
        *,
        files: tuple[Sequence[str], NDArray[np.int64]],
        numbers: NDArray[np.int64],
        areas: NDArray[np.float64] | None = None,
        outlines: Mapping[int, str] | None = None,
    ) -> None:
        """Add many boxes that are single objects.

        Args:
            images: what `add_image` returned for the image of each box, [N].
            classes: names of classes, and per box the position of its class among them, [N].
            boxes_xywh: left, top, width and height in pixels, [N, 4].
            files: names of annotation files, and per box the position of its file among them, [N].
            numbers: of the lines or elements in the files, [N].
            areas: of the outlines in square pixels, [N]; those of the boxes if None.
            outlines: polygons as COCO has them, as JSON, by the position of the box, 0..N-1.

        """
        names, class_rows = classes
        file_names, file_rows = files
        if areas is None:
            areas = boxes_xywh[:, 2] * boxes_xywh[:, 3]
        kept = np.arange(len(images))
        if self._kept_classes:
            is_kept = np.array([name in self._kept_classes for name in names], bool)[class_rows]
            for row, count in zip(*np.unique(class_rows[~is_kept], return_counts=True), strict=True):
                self.pass_over(OTHER_CLASSES, names[row], int(count))
            kept = np.flatnonzero(is_kept)
        first = len(self._box_images)
        positions = {int(row): first + position for position, row in enumerate(kept)} if outlines else {}
        for row, outline in (outlines or {}).items():
            if row in positions:
                self._outlines[positions[row]] = outline
        class_numbers = _numbers_of(names, class_rows[kept], self._class_numbers)
        self._box_files.frombytes((file_rows[kept] + len(self._files)).astype(np.int32).tobytes())
        self._files.extend(file_names)
        self._box_images.frombytes(images[kept].astype(np.int32).tobytes())
        self._box_classes.frombytes(class_numbers.tobytes())
        for values, sides in zip(self._box_sides, boxes_xywh[kept].T, strict=True):
            values.frombytes(sides.astype(np.float64).tobytes())
        self._areas.frombytes(areas[kept].astype(np.float64).tobytes())
        self._crowd_flags.frombytes(bytes(len(kept)))
        self._box_numbers.frombytes(numbers[kept].astype(np.int32).tobytes())

    def refuse(
        self,
        file: str,
        number: int,
        reason: str,
        *,
        split: str | None = None,
        file_name: str | None = None,
        is_image: bool = False,
    ) -> None:
        """Record a line or element that cannot become a row.

        Args:
            file: the annotation file.
            number: of the line or element in it; 0 for the whole file.
            reason: what was received and what was expected.
            split: of the image, if it is known.
            file_name: of the image, if it is known.
            is_image: whether an image is refused, and not a box.

        """
        element = "file" if number == 0 else self._image_element if is_image else self._element
        self._refused.append((file, element, number, split, file_name, reason))

    def pass_over(self, kind: str, name: str, count: int = 1) -> None:
        """Count files or entries that are not used; `kind` says what they are, in the plural."""
        self._passed_over.setdefault(kind, _PassedOver()).add(name, count)

    def pass_over_unused(self, *used: Container[str], suffix: str) -> None:
        """Count the files of the tree that are not used, images apart from others.

        Args:
            used: the names of files that are used.
            suffix: of the annotation files, in lower case; these are counted elsewhere.

        """
        for name in self._tree.names():
            ending = name.lower()
            if not ending.endswith(suffix) and not any(name in names for names in used):
                self.pass_over("images without annotations" if ending.endswith(IMAGE_SUFFIXES) else "other files", name)

    def require_images(self, problem: str) -> None:
        """Check that there are images.

        Args:
            problem: what the error says if there are none; the first refused file or element is added.

        Raises:
            BoxlineError: if there are none.

        """
        if not self._image_names:
            firsts = [f"; {file}: {reason}" for file, *_, reason in self._refused[:1]]
            raise BoxlineError(f"{problem}{''.join(firsts)}")

    def finish(self) -> Reading:
        """Return everything as tables."""
        image_numbers, box_numbers = (np.frombuffer(one, np.int32) for one in (self._image_numbers, self._box_numbers))
        box_files = pa.DictionaryArray.from_arrays(
            np.frombuffer(self._box_files, np.int32), pa.array(self._files, pa.string())
        )
        image_files = pa.array(self._image_files, pa.string()).dictionary_encode()
        return Reading(
            tables=Tables(self._images_table(), self._boxes_table(), self._categories_table()),
            image_locations=_locations(image_files, image_numbers, self._image_element),
            box_locations=_locations(box_files, box_numbers, self._element),
            refused=self._refused_table(),
            passed_over=_passed_over_table(self._passed_over),
        )

    def _refused_table(self) -> pa.Table:
        columns = zip(*self._refused, strict=True) if self._refused else [()] * len(schema.REFUSED)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema.REFUSED, strict=True)]
        return pa.table(arrays, schema.REFUSED)

    def _images_table(self) -> pa.Table:
        num_images = len(self._image_names)
        archives: dict[str, int] = {}
        archive_rows = array("i")
        other_members: dict[int, str] = {}
        for image, (name, file) in enumerate(zip(self._image_names, self._image_files, strict=True)):
            archive, member = self._image_members.get(image) or self._location(name, file)
            archive_rows.append(archives.setdefault(archive, len(archives)))
            if member != name:
                other_members[image] = member
        names = members = pa.array(self._image_names, pa.string())
        if other_members:
            members = pa.array([other_members.get(image, name) for image, name in enumerate(self._image_names)])
        sizes = np.fromiter(chain.from_iterable(self._image_sizes), np.int32, 2 * num_images).reshape(-1, 2)
        columns = {
            "image_id": np.arange(1, num_images + 1),
            "split": pa.array(self._image_splits, pa.string()),
            "file_name": names,
            "width": sizes[:, 0],
            "height": sizes[:, 1],
            "archive": pa.array(list(archives), pa.string()).take(pa.array(np.frombuffer(archive_rows, np.int32))),
            "member": members,
        }
        return pa.table(columns, schema.IMAGES)

    def _location(self, name: str, file: str) -> tuple[str, str]:
        """Archive and member of an image. A missing one is looked for beside the annotation that names it."""
        if name in self._tree:
            return self._tree.location(name)
        return self._tree.location(file)[0] if file in self._tree else "", name

    def _order(self) -> list[str]:
        """The classes: listed ones in their order, then others in alphabetical order, numbers by their value."""
        names = list(self._class_numbers)
        return names[: self._num_declared] + sorted(names[self._num_declared :], key=_by_value)

    def _categories_table(self) -> pa.Table:
        names = self._order()
        return categories_table(range(1, len(names) + 1), names, [""] * len(names))

    def _boxes_table(self) -> pa.Table:
        image_rows = np.frombuffer(self._box_images, np.int32)
        x, y, width, height = (np.frombuffer(values, np.float64) for values in self._box_sides)
        outlines = pa.nulls(len(image_rows), schema.OUTLINE.type)
        if self._outlines:
            texts = [self._outlines.get(row) for row in range(len(image_rows))]
            outlines = pa.array(texts, schema.OUTLINE.type)
        splits = pa.array(self._image_splits, pa.string())
        columns = {
            "box_id": np.arange(1, len(image_rows) + 1),
            "split": splits.take(pa.array(image_rows)),
            "image_id": image_rows.astype(np.int64) + 1,
            "category_id": self._category_ids(),
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "area": np.frombuffer(self._areas, np.float64),
            "is_crowd": np.frombuffer(self._crowd_flags, np.int8).astype(bool),
            "outline": outlines,
        }
        return pa.table(columns, schema.OUTLINED_BOXES)

    def _category_ids(self) -> NDArray[np.int32]:
        order = self._order()
        ids = np.empty(len(order), np.int32)
        ids[[self._class_numbers[name] for name in order]] = np.arange(1, len(order) + 1)
        return ids[np.frombuffer(self._box_classes, np.int32)]


class _PassedOver:
    """How many there are of a kind, and the first names in alphabetical order."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []

    def add(self, name: str, count: int) -> None:
        self.count += count
        if name not in self.examples:
            insort(self.examples, name)
            del self.examples[MAX_EXAMPLES:]


def passed_over_table(names_by_kind: Mapping[str, Sequence[str]]) -> pa.Table:
    """A table schema.PASSED_OVER from the names of what is not used."""
    kinds: dict[str, _PassedOver] = {}
    for kind, names in names_by_kind.items():
        kinds[kind] = _PassedOver()
        for name in names:
            kinds[kind].add(name, 1)
    return _passed_over_table(kinds)


def _passed_over_table(kinds: Mapping[str, _PassedOver]) -> pa.Table:
    rows = [
        {"kind": kind, "count": one.count, "examples": join_items(map(repr, one.examples))}
        for kind, one in sorted(kinds.items())
    ]
    return pa.Table.from_pylist(rows, schema.PASSED_OVER)


def _numbers_of(names: Sequence[str], rows: NDArray[np.int64], numbers: dict[str, int]) -> NDArray[np.int32]:
    """The numbers of the names in these rows. A name without a number gets the next one."""
    by_row = np.zeros(len(names), np.int32)
    for row in np.unique(rows):
        by_row[row] = numbers.setdefault(names[row], len(numbers))
    return by_row[rows]


def _by_value(name: str) -> tuple[bool, int, str]:
    is_number = NUMBER.fullmatch(name) is not None
    return not is_number, int(name) if is_number else 0, name


def _locations(files: pa.DictionaryArray, numbers: NDArray[np.int32], element: str) -> pa.Table:
    elements = pa.DictionaryArray.from_arrays((numbers > 0).astype(np.int32), ["file", element])
    return pa.table([files, elements, numbers], schema.LOCATIONS)
