"""Collects the images and boxes of any format, and turns them into tables."""

from array import array
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.archives.file_tree import FileTree
from pipeline.core import schema
from pipeline.core.errors import join_items
from pipeline.datasets.annotations import Tables, categories_table, images_table
from pipeline.datasets.formats.interfaces import NO_SPLIT, Reading

MAX_EXAMPLES = 3


class AnnotationCollector:
    """The images, the boxes and the problems that a reader finds.

    Images and boxes are numbered from 1 in the order in which they are added, so a reader adds them in the order of the
    names of their files. Numbers are held in arrays, because a million images have ten million boxes.
    """

    def __init__(self, tree: FileTree, element: str, classes: Sequence[str] = ()) -> None:
        """Start empty.

        Args:
            tree: the files, in which the images are looked for.
            element: what the numbers of rows count: "line", "object", ...
            classes: the only classes to keep, in the order of their class indices; all if empty.

        """
        self._tree = tree
        self._element = element
        self._kept_classes = frozenset(classes)
        self._class_numbers: dict[str, int] = {}
        self._num_declared = 0
        self.declare_classes(classes)
        self._images: list[tuple[str, str, tuple[int, int], str, int]] = []
        self._box_images = array("q")
        self._box_classes = array("i")
        self._boxes_xywh = array("d")
        self._areas = array("d")
        self._crowd_flags = array("b")
        self._outlines: dict[int, str] = {}
        self._box_files: list[str] = []
        self._box_numbers = array("i")
        self._refused: list[dict[str, object]] = []
        self._passed_over: dict[str, list[str]] = {}

    def declare_classes(self, names: Sequence[str]) -> None:
        """State the classes that the files list, in their order. Classes of boxes that are not listed come after them.

        Without effect on the classes to keep, if there are any.
        """
        for name in names:
            if not self._kept_classes or name in self._kept_classes:
                self._class_numbers.setdefault(name, len(self._class_numbers))
        self._num_declared = len(self._class_numbers)

    def add_image(
        self, name: str, size: tuple[int, int], *, split: str | None = None, file: str = "", number: int = 0
    ) -> int:
        """Add an image.

        Args:
            name: name of the file in the tree, or as the annotations have it if there is no such file. `validate`
                quarantines the image in that case.
            size: width and height in pixels; 0, 0 if unknown.
            split: train, val or test; None if the files do not say.
            file: the annotation file that names the image.
            number: of the line or element in `file`; 0 for the whole file.

        Returns:
            The number of the image, to be given to `add_box`.

        """
        self._images.append((name, split or NO_SPLIT, size, file or name, number))
        return len(self._images) - 1

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
            self.pass_over("boxes of classes that are not listed", class_name)
            return
        if outline is not None:
            self._outlines[len(self._box_images)] = outline
        self._box_images.append(image)
        self._box_classes.append(self._class_numbers.setdefault(class_name, len(self._class_numbers)))
        self._boxes_xywh.extend(box_xywh)
        self._areas.append(box_xywh[2] * box_xywh[3] if area is None else area)
        self._crowd_flags.append(is_crowd)
        self._box_files.append(file)
        self._box_numbers.append(number)

    def refuse(
        self, file: str, number: int, reason: str, *, split: str | None = None, file_name: str | None = None
    ) -> None:
        """Record a line or element that cannot become a row.

        Args:
            file: the annotation file.
            number: of the line or element in it; 0 for the whole file.
            reason: what was received and what was expected.
            split: of the image, if it is known.
            file_name: of the image, if it is known.

        """
        element = self._element if number else "file"
        self._refused.append(
            {
                "file": file,
                "element": element,
                "number": number,
                "split": split,
                "file_name": file_name,
                "reason": reason,
            }
        )

    def pass_over(self, kind: str, name: str) -> None:
        """Count a file or entry that is not used; `kind` says what it is, in the plural."""
        self._passed_over.setdefault(kind, []).append(name)

    def finish(self) -> Reading:
        """Return everything as tables."""
        return Reading(
            tables=Tables(self._images_table(), self._boxes_table(), self._categories_table()),
            image_locations=_locations(
                [file for *_, file, _ in self._images], [number for *_, number in self._images], self._element
            ),
            box_locations=_locations(self._box_files, self._box_numbers, self._element),
            refused=pa.Table.from_pylist(self._refused, schema.REFUSED),
            passed_over=passed_over_table(self._passed_over),
        )

    def _images_table(self) -> pa.Table:
        locations = [self._location(name, file) for name, _, _, file, _ in self._images]
        return images_table(
            image_ids=range(1, len(self._images) + 1),
            splits=[split for _, split, *_ in self._images],
            file_names=[name for name, *_ in self._images],
            sizes=[size for _, _, size, *_ in self._images],
            archives=[archive for archive, _ in locations],
            members=[member for _, member in locations],
        )

    def _location(self, name: str, file: str) -> tuple[str, str]:
        """Archive and member of an image. A missing one is looked for beside the annotation that names it."""
        if name in self._tree:
            return self._tree.location(name)
        return self._tree.location(file)[0], name

    def _order(self) -> list[str]:
        """The classes: listed ones in their order, then others in alphabetical order."""
        names = list(self._class_numbers)
        return names[: self._num_declared] + sorted(names[self._num_declared :])

    def _categories_table(self) -> pa.Table:
        names = self._order()
        return categories_table(range(1, len(names) + 1), names, [""] * len(names))

    def _boxes_table(self) -> pa.Table:
        image_rows = np.frombuffer(self._box_images, np.int64)
        x, y, width, height = np.frombuffer(self._boxes_xywh, np.float64).reshape(-1, 4).T
        outlines = pa.nulls(len(image_rows), schema.OUTLINE.type)
        if self._outlines:
            texts = [self._outlines.get(row) for row in range(len(image_rows))]
            outlines = pa.array(texts, schema.OUTLINE.type)
        splits = pa.array([split for _, split, *_ in self._images], pa.string())
        columns = {
            "box_id": np.arange(1, len(image_rows) + 1),
            "split": splits.take(pa.array(image_rows)),
            "image_id": image_rows + 1,
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


def passed_over_table(names_by_kind: dict[str, list[str]]) -> pa.Table:
    """A table schema.PASSED_OVER from the names of what is not used."""
    rows = [
        {"kind": kind, "count": len(names), "examples": join_items(map(repr, sorted(set(names))[:MAX_EXAMPLES]))}
        for kind, names in sorted(names_by_kind.items())
    ]
    return pa.Table.from_pylist(rows, schema.PASSED_OVER)


def _locations(files: Sequence[str], numbers: Sequence[int], element: str) -> pa.Table:
    elements = [element if number else "file" for number in numbers]
    return pa.table([files, elements, numbers], schema.LOCATIONS)
