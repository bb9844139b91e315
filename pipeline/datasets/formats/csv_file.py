"""Reads CSV annotations. Each row has its line number, so that an error message names line and column.

What means nothing refuses nothing: a byte order mark, line ends, blank lines, spaces around values, the case of column
names, further columns.
"""

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import BoxlineError, join_items, truncate

MAX_CSV_BYTES = 256 << 20
"""Largest CSV file that is read from an archive; a million rows take a quarter of it."""

WHOLE_NUMBER = re.compile(r"([+-]?[0-9]{1,9})(?:\.0*)?", re.ASCII)

LARGEST_FRACTION = 1e6
"""Far outside any image, and small enough to be multiplied by the sides of an image."""


@dataclass(frozen=True)
class Row:
    """One row of a CSV file.

    Attributes:
        file: name of the file, for error messages.
        line: number of the last line of the row, counted from 1.
        fields: the text of each field by column.

    """

    file: str
    line: int
    fields: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields[column]

    def error(self, column: str, expected: str) -> BoxlineError:
        """An error that names the column, its text, and what is expected in it."""
        received = truncate(repr(self[column]))
        return BoxlineError(
            f"{self.file}, line {self.line}, column {column}: received {received}, expected {expected}."
        )

    def fraction(self, column: str) -> float:
        """The column as a fraction of the image.

        Whether it is in 0..1 is checked in pipeline.validation.

        Raises:
            BoxlineError: if the field is not a number, or its absolute value exceeds LARGEST_FRACTION.

        """
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not abs(value) <= LARGEST_FRACTION:  # this form of the comparison excludes NaN too
            raise self.error(column, "a fraction of the image")
        return value

    def integer(self, column: str) -> int:
        """The column as an integer, which may be written as 7 or 7.0.

        Whether it is inside the image is checked in pipeline.validation.

        Raises:
            BoxlineError: if the field is not an integer of at most nine digits.

        """
        match = WHOLE_NUMBER.fullmatch(self[column])
        if match is None:
            raise self.error(column, "a whole number of pixels")
        return int(match[1])


def read_file(path: Path) -> bytes:
    """The content of a downloaded file.

    Raises:
        BoxlineError: if the file does not exist.

    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BoxlineError(f"{path} not found. `dvc repro` downloads it.") from None


def read_rows(file: str, content: bytes, columns: Sequence[str]) -> list[Row]:
    """Read a file without header, or with one that names these columns. Further columns are ignored.

    Args:
        file: name of the file, for error messages.
        content: the file.
        columns: names of the columns, in the order that they have without header.

    Raises:
        BoxlineError: if the file is not CSV, or a row does not have these columns.

    """
    lines = list(_lines(file, content))
    if lines and set(columns) <= set(_canonical_names(lines[0][1], columns)):
        return read_rows_with_header(file, content, columns)
    return [_row(file, line, fields[: len(columns)], columns, columns) for line, fields in lines]


def read_rows_with_header(file: str, content: bytes, columns: Sequence[str]) -> list[Row]:
    """Read a file whose first line names its columns, in any order. Further columns are ignored.

    Args:
        file: name of the file, for error messages.
        content: the file.
        columns: names of the required columns.

    Raises:
        BoxlineError: if the file is not CSV, a column is missing or repeated, or a row has no field for one of them or
            more fields than the header.

    """
    lines = _lines(file, content)
    first_line, received = next(lines, (1, []))
    header = _canonical_names(received, columns)
    _check_header(f"{file}, line {first_line}", header, columns)
    return [_row(file, line, fields, header, columns) for line, fields in lines]


def _lines(file: str, content: bytes) -> Iterator[tuple[int, list[str]]]:
    """The number, from 1, and the fields without spaces around them, of each line that is not blank.

    Bytes that are not UTF-8 become surrogates here, so that a later error can name their line and column.
    """
    text = content.decode("utf-8-sig", "surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for received in reader:
            fields = [field.strip() for field in received]
            if any(fields):
                yield reader.line_num, fields
    except csv.Error as error:
        raise BoxlineError(f"{file}, line {reader.line_num}: this is not CSV ({error}).") from None


def _row(file: str, line: int, fields: list[str], header: Sequence[str], columns: Sequence[str]) -> Row:
    values = dict(zip(header, fields, strict=False))
    if any(fields[len(header) :]) or not all(column in values for column in columns):
        raise BoxlineError(
            f"{file}, line {line}: received {len(fields)} fields ({truncate(','.join(fields))}), "
            f"expected {len(header)}: {', '.join(header)}."
        )
    row = Row(file, line, {column: values[column] for column in columns})
    for column, text in row.fields.items():
        _check_utf8(row, column, text)
    return row


def _canonical_names(header: list[str], columns: Sequence[str]) -> list[str]:
    """The names of a header, those of `columns` in the same case as there."""
    names = {column.casefold(): column for column in columns}
    return [names.get(name.casefold(), name) for name in header]


def _check_header(where: str, header: list[str], columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in header]
    repeated = [column for column in columns if header.count(column) > 1]
    for names, problem in ((missing, "missing"), (repeated, "repeated")):
        if names:
            raise BoxlineError(
                f"{where}: {problem} column {join_items(names)}; "
                f"received {truncate(join_items(header)) or 'no header'}, expected a header with {', '.join(columns)}."
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
