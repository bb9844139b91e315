"""Parses label files of YOLO: one line per object, with its class and its box or outline as fractions of the image.

The lines of many files are parsed at once: most files have a few lines, so calls for each of them would take longer
than their content.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.errors import truncate
from pipeline.geometry.boxes import Boxes

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LINE_FEED = 10
IS_SPACE = np.isin(np.arange(256), list(b" \t\n\v\f\r"))

BOX_VALUES = 5
LEAST_OUTLINE_VALUES = 7

LARGEST_FRACTION = 1e6
"""Far outside any image, and small enough to be multiplied by the sides of an image."""

LARGEST_CLASS = 2**31 - 1


class RefusedLine(NamedTuple):
    """A line that is no object: the position of its file, its number from 1, and what was received and expected."""

    file: int
    line: int
    reason: str


class Labels(NamedTuple):
    """The objects of several label files, in the order of the files and their lines.

    Attributes:
        files: the position of the file of each object, int64 [N].
        lines: the number of its line, from 1, int64 [N].
        classes: its class index, int64 [N].
        boxes: center x, center y, width and height as fractions of the image, [N, 4]; those of an outline are 0.
        outlines: corners as fractions of the image, float64 [P, 2], by the position of the object.
        refused: the lines that are no objects.

    """

    files: NDArray[np.int64]
    lines: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: Boxes
    outlines: dict[int, NDArray[np.float64]]
    refused: list[RefusedLine]


def parse_labels(contents: Sequence[bytes], keypoint_values: int = 0) -> Labels:
    """Parse the contents of label files. Blank lines are ignored.

    A line is an object if it has a class index (0, or 0.0) and finite numbers: four for a box, or the corners of an
    outline. Whether boxes are inside of the image is checked in `pipeline.validation`.

    Args:
        contents: the files.
        keypoint_values: how many numbers of key points follow each box; they are ignored.

    """
    lines = _Lines(contents)
    values, is_box = lines.values_of(BOX_VALUES + keypoint_values)
    boxes = values[:, :BOX_VALUES]
    is_valid = _are_valid(boxes)
    rows, refused = is_box[is_valid], []
    classes, boxes = boxes[is_valid, 0], boxes[is_valid, 1:]
    outlines_by_row: dict[int, NDArray[np.float64]] = {}
    invalid = np.setdiff1d(np.flatnonzero(lines.num_values), rows, assume_unique=True)
    outline_classes = []
    for row in invalid.tolist():
        outline = None if keypoint_values else _outline(lines.text(row))
        if outline is None:
            refused.append(RefusedLine(lines.file(row), lines.number(row), _problem(lines.text(row), keypoint_values)))
        else:
            outline_classes.append(outline[0])
            outlines_by_row[row] = outline[1:].reshape(-1, 2)
    if outlines_by_row:
        rows = np.concatenate([rows, np.fromiter(outlines_by_row, np.int64)])
        classes = np.concatenate([classes, outline_classes])
        boxes = np.concatenate([boxes, np.zeros((len(outlines_by_row), 4))])
        order = np.argsort(rows)
        rows, classes, boxes = rows[order], classes[order], boxes[order]
    outlines = {int(np.searchsorted(rows, row)): outline for row, outline in outlines_by_row.items()}
    return Labels(lines.files(rows), lines.numbers(rows), classes.astype(np.int64), boxes, outlines, refused)


class _Lines:
    """The lines of several files, one after the other.

    Attributes:
        num_values: how many texts between spaces each line has, int64 [L].

    """

    def __init__(self, contents: Sequence[bytes]) -> None:
        files = [content.removeprefix(BYTE_ORDER_MARK) for content in contents]
        self._content = b"\n".join([*files, b""])
        if b"\r" in self._content:
            files = [content.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for content in files]
            self._content = b"\n".join([*files, b""])
        characters = np.frombuffer(self._content, np.uint8)
        is_space = IS_SPACE[characters]
        changes = np.flatnonzero(np.diff(is_space, prepend=True, append=True))
        self._value_starts, self._value_ends = changes[::2], changes[1::2]
        self._line_ends = np.flatnonzero(characters == LINE_FEED)
        first_values = np.searchsorted(self._value_starts, self._line_ends)
        self.num_values = np.diff(first_values, prepend=0)
        file_ends = np.cumsum(np.fromiter(map(len, files), np.int64, len(files)) + 1)
        self._first_lines = np.searchsorted(self._line_ends, file_ends - 1) + 1  # of the next file
        self._characters = characters

    def values_of(self, num_values: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The numbers of the lines that have so many, [N, num_values], NaN for a text that is none; and their rows."""
        rows = np.flatnonzero(self.num_values == num_values)
        chosen = slice(None) if len(rows) * num_values == len(self._value_starts) else self._values_in(rows, num_values)
        starts, ends = self._value_starts[chosen], self._value_ends[chosen]
        offsets = np.concatenate([[0], np.cumsum(ends - starts)])
        depth = np.zeros(len(self._characters) + 1, np.int8)
        depth[starts] = 1
        depth[ends] -= 1
        texts = self._characters[np.cumsum(depth[:-1], dtype=np.int8).view(bool)]
        return _numbers(texts, offsets).reshape(-1, num_values), rows

    def _values_in(self, rows: NDArray[np.int64], num_values: int) -> NDArray[np.int64]:
        firsts = np.cumsum(self.num_values)[rows] - num_values
        return (firsts[:, None] + np.arange(num_values)).ravel()

    def text(self, row: int) -> str:
        start = self._line_ends[row - 1] + 1 if row else 0
        return self._content[start : self._line_ends[row]].decode(errors="replace")

    def file(self, row: int) -> int:
        return int(self.files(np.array([row]))[0])

    def number(self, row: int) -> int:
        return int(self.numbers(np.array([row]))[0])

    def files(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The position of the file of each line."""
        return np.searchsorted(self._first_lines, rows, side="right")

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each line in its file, from 1."""
        starts = np.concatenate([[0], self._first_lines])
        return rows - starts[self.files(rows)] + 1


def _numbers(texts: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The numbers that stand without a gap in `texts`; NaN for what is none."""
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(texts)]
    )
    try:
        return array.view(pa.large_string()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return np.array([_number(text) for text in array.to_pylist()])


def _number(text: bytes) -> float:
    try:
        return np.nan if b"_" in text else float(text)
    except ValueError:
        return np.nan


def _are_valid(objects: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which objects, [N, values], have a class index and numbers. NaN is none."""
    classes = objects[:, 0]
    with np.errstate(invalid="ignore"):
        is_class = (classes >= 0) & (classes <= LARGEST_CLASS) & (classes == np.floor(classes))
        return is_class & (np.abs(objects[:, 1:]) <= LARGEST_FRACTION).all(axis=1)


def _outline(line: str) -> NDArray[np.float64] | None:
    """The class and the coordinates of the corners; None if the line is no outline."""
    texts = line.encode(errors="replace").split()
    if len(texts) < LEAST_OUTLINE_VALUES or len(texts) % 2 == 0:
        return None
    values = np.array([_number(text) for text in texts])
    return values if _are_valid(values[None])[0] else None


def _problem(line: str, keypoint_values: int) -> str:
    num_values = len(line.split())
    received = f"received {truncate(line)!r}"
    if keypoint_values:
        return f"{received}, expected a class index, 4 numbers of a box and {keypoint_values} of key points"
    if num_values == BOX_VALUES + 1:
        return (
            f"{received}, which has a number after the box: the confidence of a prediction? "
            "Expected a class index, center x, center y, width and height"
        )
    return (
        f"{received}, expected a class index, center x, center y, width and height, or a class index and the x and y "
        "of 3 corners or more"
    )
