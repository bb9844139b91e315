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

LARGEST_NUMBER = 1e9


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
        return self._number(column, LARGEST_FRACTION, "a fraction of the image")

    def number(self, column: str) -> float:
        """The column as a number in any unit.

        Raises:
            BoxlineError: if the field is not a number, or its absolute value exceeds LARGEST_NUMBER.

        """
        return self._number(column, LARGEST_NUMBER, "a number")

    def _number(self, column: str, largest: float, expected: str) -> float:
        text = self[column]
        try:
            value = math.nan if "_" in text else float(text)
        except ValueError:
            value = math.nan
        if not abs(value) <= largest:  # this form of the comparison excludes NaN too
            raise self.error(column, expected)
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
    needed = frozenset(columns)
    return [make_row(file, line, fields[: len(columns)], columns, needed) for line, fields in lines]


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
    needed = frozenset(columns)
    return [make_row(file, line, fields, header, needed) for line, fields in lines]


def read_lines(content: bytes, delimiter: str = ",") -> Iterator[tuple[int, list[str] | str]]:
    """Read the lines that are not blank, without regard to columns.

    Bytes that are not UTF-8 become surrogates here, so that a later error can name their line and column.

    Args:
        content: the file.
        delimiter: what separates fields.

    Yields:
        The number of the line, from 1, and its fields without spaces around them; why it is not CSV in their place. The
        number is the last one of a row with line breaks.

    """
    # Decoded while it is read: the text as a whole would take four times as much memory.
    lines = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "surrogateescape", newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            received = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            several = f"; a quote may be open since line {first}" if reader.line_num > first else ""
            yield reader.line_num, f"this is not CSV ({error}){several}"
            continue
        fields = [field.strip() for field in received]
        if any(fields):
            yield reader.line_num, fields


def _lines(file: str, content: bytes) -> Iterator[tuple[int, list[str]]]:
    for line, fields in read_lines(content):
        if isinstance(fields, str):
            raise BoxlineError(f"{file}, line {line}: {fields}.")
        yield line, fields


def make_row(file: str, line: int, fields: Sequence[str], header: Sequence[str], columns: frozenset[str]) -> Row:
    """The row of these fields.

    Args:
        file: name of the file, for error messages.
        line: number of the line.
        fields: as `read_lines` has them.
        header: the names of all columns.
        columns: the names of the required columns.

    Raises:
        BoxlineError: if a required field is missing or not UTF-8, or there are more fields than columns.

    """
    values = dict(zip(header, fields, strict=False))
    if any(fields[len(header) :]) or not values.keys() >= columns:
        received = with_valid_characters(",".join(fields))
        raise BoxlineError(
            f"{file}, line {line}: received {len(fields)} fields ({truncate(received)}), "
            f"expected {len(header)}: {', '.join(header)}."
        )
    row = Row(file, line, {column: values[column] for column in columns})
    for column, text in row.fields.items():
        if not text.isascii():
            _check_utf8(row, column, text)
    return row


def with_valid_characters(text: str) -> str:
    r"""Replace the bytes that are not UTF-8, which stand as surrogates in what `read_lines` gives.

    >>> with_valid_characters("cr\udceape")
    'cr�pe'
    """
    return text.encode(errors="surrogateescape").decode(errors="replace")


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
