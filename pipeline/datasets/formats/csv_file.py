"""What readers of CSV annotations share: rows that know where they stand, so that a complaint names line and column."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.archives.image_decoding import open_image
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES, Member
from pipeline.core.errors import BoxlineError, join_items, truncate

MAX_CSV_BYTES = 256 << 20
"""Largest CSV file that is read from an archive: a million rows are a quarter of it."""

LARGEST_FRACTION = 1e6
"""Far outside of any image, and still small enough to be multiplied with its sides."""


@dataclass(frozen=True)
class Row:
    """One row: the file's name for messages, the line that it ends on, counted from 1, and its fields by column."""

    file: str
    line: int
    fields: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields[column]

    def error(self, column: str, expected: str) -> BoxlineError:
        """Says what the column holds and what it should."""
        received = truncate(repr(self[column]))
        return BoxlineError(
            f"{self.file}, line {self.line}, column {column}: received {received}, expected {expected}."
        )

    def fraction(self, column: str) -> float:
        """A number no larger than LARGEST_FRACTION. Whether it lies in 0..1 is for the checks to say."""
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not abs(value) <= LARGEST_FRACTION:  # said like this, NaN is refused as well
            raise self.error(column, "a fraction of the image")
        return value

    def whole_number(self, column: str) -> int:
        """An integer of up to nine digits. Whether it lies in the image is for the checks to say."""
        if not re.fullmatch("[+-]?[0-9]{1,9}", self[column]):
            raise self.error(column, "a whole number of pixels")
        return int(self[column])


def file_content(path: Path) -> bytes:
    """The file's bytes, or an error that says how to get it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BoxlineError(f"{path} not found. `dvc repro` downloads it.") from None


def bare_rows(file: str, content: bytes, columns: Sequence[str]) -> list[Row]:
    """The rows, at least one, of a file without header, whose columns are `columns` in that order.

    Empty lines are skipped.
    """
    rows = [_row(file, line, fields, columns) for line, fields in _lines(file, content)]
    if not rows:
        raise BoxlineError(f"{file} has no rows, expected at least one box.")
    return rows


def headed_rows(file: str, content: bytes, columns: Sequence[str], *, only: bool = False) -> list[Row]:
    """The rows of a file whose first line names its columns, at least one, in any order. Empty lines are skipped.

    Raises BoxlineError where one of `columns` is missing or, with `only`, where there are others.
    """
    lines = _lines(file, content)
    first_line, header = next(lines, (1, []))
    _check_header(f"{file}, line {first_line}", header, columns, only=only)
    rows = [_row(file, line, fields, header) for line, fields in lines]
    if not rows:
        raise BoxlineError(f"{file} has a header and no rows, expected at least one box.")
    return rows


def image_row(image_id: int, split: str, file_name: str, archive: str, member: Member) -> dict[str, object]:
    """A row of schema.IMAGES, sized by the image. `archive` is the path of its archive below the download folder."""
    width, height = image_size(member)
    return {
        "image_id": image_id,
        "split": split,
        "file_name": file_name,
        "width": width,
        "height": height,
        "archive": archive,
        "member": member.name,
    }


def image_size(member: Member) -> tuple[int, int]:
    """Width and height in pixels from the image's header, for annotations that do not tell them.

    0, 0 for a file that cannot be read: `inspect` finds out why, and the checks refuse it.
    """
    try:
        with open_image(member.read(MAX_IMAGE_BYTES), str(member), "") as image:
            return image.size
    except BoxlineError:
        return 0, 0


def _lines(file: str, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not empty, from 1, and its fields.

    A byte that is not UTF-8 goes through as a stand-in, so that its line and column can be named.
    """
    text = content.decode("utf-8-sig", "surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise BoxlineError(f"{file}, line {reader.line_num}: this is not CSV ({error}).") from None


def _row(file: str, line: int, fields: list[str], columns: Sequence[str]) -> Row:
    if len(fields) != len(columns):
        raise BoxlineError(
            f"{file}, line {line}: received {len(fields)} fields ({truncate(','.join(fields))}), "
            f"expected {len(columns)}: {', '.join(columns)}."
        )
    row = Row(file, line, dict(zip(columns, fields, strict=True)))
    for column, text in row.fields.items():
        _check_utf8(row, column, text)
    return row


def _check_header(where: str, header: list[str], columns: Sequence[str], *, only: bool) -> None:
    missing = [column for column in columns if column not in header]
    unknown = [column for column in header if column not in columns] if only else []
    repeated = [column for column, count in Counter(header).items() if count > 1]
    for names, fault in ((missing, "missing"), (unknown, "unknown"), (repeated, "repeated")):
        if names:
            raise BoxlineError(
                f"{where}: {fault} column {join_items(names)}; received {truncate(join_items(header)) or 'no header'}, "
                f"expected a header with {', '.join(columns)}."
            )


def _check_utf8(row: Row, column: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        received = truncate(repr(text.encode(errors="surrogateescape")))
        raise BoxlineError(
            f"{row.file}, line {row.line}, column {column}: received the bytes {received}, which are not UTF-8. "
            "Save the file as UTF-8."
        ) from None
