"""TFRecord files of TensorFlow's Object Detection API: images that are read in place, like members of an archive."""

import mmap
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.archives.crc32c import crc32c
from pipeline.archives.member_lookup import NameLookup, NameLookupError, with_slashes
from pipeline.archives.tf_example import Buffer, Example
from pipeline.archives.zip_archive import MAX_MEMBER_BYTES, Member
from pipeline.core.errors import BoxlineError
from pipeline.core.file_names import IMAGE_SUFFIXES

HEADER_BYTES = 12
"""The length of the record in 8 bytes, and its checksum in 4."""

FOOTER_BYTES = 4
MASK = 0xA282EAD8
MAX_RECORD_BYTES = 256 << 20
GZIP_MAGIC = b"\x1f\x8b"


def starts_record(head: bytes) -> bool:
    """Whether the first HEADER_BYTES of a file are those of a record."""
    return len(head) == HEADER_BYTES and _has_crc(head[:8], head[8:])


class RecordProblem(NamedTuple):
    """What is wrong with a record: its number from 1, and why it cannot be read."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordMember(Member):
    """The encoded image in a record. `offset` is the position of the record, and `stored_bytes` its length.

    Attributes:
        image_start: position of the image in the record.

    """

    image_start: int = 0

    def read(self, max_bytes: int = MAX_MEMBER_BYTES) -> bytes:
        """Return the image after checking its record against the CRC.

        Raises:
            BoxlineError: if the record is corrupt, or the image has more than `max_bytes`.

        """
        if self.size_bytes > max_bytes:
            raise BoxlineError(f"{self} has {self.size_bytes} bytes, more than {max_bytes} allowed.")
        record = _read_record(self.archive, self.offset, self.stored_bytes, str(self))
        return record[self.image_start : self.image_start + self.size_bytes]

    def read_chunks(self, max_bytes: int = MAX_MEMBER_BYTES) -> Iterator[bytes]:
        """Yield the image, in one piece since its record is in memory anyway; raises what `read` raises."""
        yield self.read(max_bytes)

    def read_head(self, num_bytes: int) -> bytes:
        """Return the first bytes of the image, or all if there are fewer. The CRC is not checked.

        Raises:
            BoxlineError: if the file is not there.

        """
        start = self.offset + HEADER_BYTES + self.image_start
        return _read_file(self.archive, start, min(num_bytes, self.size_bytes))


class TfRecordArchive:
    """The images in a TFRecord file, with the methods of `Archive`.

    Their names are those that the records state; the number of the record is in front of a name that occurs twice.

    Attributes:
        path: the path of the file.
        num_records: how many records there are up to the end or the first corrupt length.
        problems: the records that have no image, and the first corrupt length, behind which no record can be found.

    Raises:
        BoxlineError: if the file is missing.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_records = 0
        self.problems: list[RecordProblem] = []
        self._rows: dict[str, int] = {}
        self._numbers = array("q")
        self._offsets = array("q")
        self._record_bytes = array("q")
        self._image_starts = array("q")
        self._image_bytes = array("q")
        try:
            with path.open("rb") as file:
                if file.seek(0, 2):
                    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                        self._add_records(content)
        except FileNotFoundError:
            raise BoxlineError(f"{path} not found. `dvc repro` downloads it.") from None
        self._lookup = NameLookup(self._rows)

    def _add_records(self, content: mmap.mmap) -> None:
        offset = 0
        while offset < len(content):
            number = self.num_records + 1
            reason = _length_problem(content, offset)
            if reason is not None:
                lost = len(content) - offset
                reason = f"{reason}; the last {lost} bytes of the file cannot be read"
                self.problems.append(RecordProblem(number, reason))
                return
            length = int.from_bytes(content[offset : offset + 8], "little")
            self.num_records = number
            try:
                self._add_record(content, number, offset, length)
            except ValueError as error:  # UnicodeDecodeError too
                self.problems.append(RecordProblem(number, f"received a record that is no tf.train.Example ({error})"))
            offset += HEADER_BYTES + length + FOOTER_BYTES

    def _add_record(self, content: Buffer, number: int, offset: int, length: int) -> None:
        if length > MAX_RECORD_BYTES:
            reason = f"received a record of {length} bytes, expected at most {MAX_RECORD_BYTES}"
            self.problems.append(RecordProblem(number, reason))
            return
        start = offset + HEADER_BYTES
        example = Example(content, start, start + length)
        images = example.bytes_spans("image/encoded")
        if len(images) != 1:
            reason = f"received {len(images)} values of image/encoded, expected one"
            self.problems.append(RecordProblem(number, reason))
            return
        name = _image_name(example, number)
        self._rows[name if name not in self._rows else f"record {number}/{name}"] = len(self._numbers)
        self._numbers.append(number)
        self._offsets.append(offset)
        self._record_bytes.append(length)
        self._image_starts.append(images[0].start - start)
        self._image_bytes.append(images[0].end - images[0].start)

    def __getitem__(self, name: str) -> RecordMember:
        """Return the image that `name` stands for; see `member_lookup`.

        Raises:
            BoxlineError: if there is none, or if several fit.

        """
        try:
            return self.find(name)
        except NameLookupError as error:
            raise BoxlineError(f"{self.path}: image {name} not found{error.hint}.") from None

    def find(self, name: str, folder: str = "") -> RecordMember:
        """Return the image that `name` stands for.

        Args:
            name: the name of the image below `folder`.
            folder: empty or with a slash at its end.

        Raises:
            NameLookupError: if there is none, or if several fit.

        """
        return self.member(self._lookup.find(name, folder))

    def get(self, name: str, folder: str = "") -> RecordMember | None:
        """Return the image that `name` stands for, or None."""
        try:
            return self.find(name, folder)
        except NameLookupError:
            return None

    def member(self, name: str) -> RecordMember:
        """Return the image of exactly this name, which is one of `names`."""
        row = self._rows[name]
        return RecordMember(
            self.path,
            name,
            self._offsets[row],
            self._record_bytes[row],
            self._image_bytes[row],
            crc32=0,
            deflated=False,
            image_start=self._image_starts[row],
        )

    def names(self) -> list[str]:
        """Return the names of the images in the order of the records."""
        return list(self._rows)

    def examples(self) -> Iterator[tuple[int, str, Example | str]]:
        """Read the records that have an image.

        Yields:
            The number of the record from 1, the name of its image, and its features; why it cannot be read in their
            place.

        """
        for name, row in self._rows.items():
            number = self._numbers[row]
            try:
                record = _read_record(self.path, self._offsets[row], self._record_bytes[row], f"record {number}")
                yield number, name, Example(record, 0, len(record))
            except (BoxlineError, ValueError) as error:
                yield number, name, str(error)


def _length_problem(content: mmap.mmap, offset: int) -> str | None:
    """Why the length of a record, or that it ends within the file, cannot be trusted."""
    header = content[offset : offset + HEADER_BYTES]
    if offset == 0 and header.startswith(GZIP_MAGIC):
        return "received a file that is compressed with gzip, expected TFRecord without compression"
    if not starts_record(header):
        return "received a length whose checksum is wrong, expected a record"
    length = int.from_bytes(header[:8], "little")
    available = len(content) - offset - HEADER_BYTES - FOOTER_BYTES
    return f"received {max(available, 0)} of the {length} bytes of the record" if length > available else None


def _image_name(example: Example, number: int) -> str:
    texts = [text for name in ("image/filename", "image/source_id") for text in example.texts(name)]
    parts = [part for text in texts[:1] for part in with_slashes(text).split("/") if part != ".."]
    name = "/".join(parts) or f"{number}"
    if name.lower().endswith(IMAGE_SUFFIXES):
        return name
    suffix = f".{''.join(example.texts('image/format')[:1]).lower() or 'jpg'}"
    return name + (suffix if suffix in IMAGE_SUFFIXES else ".jpg")


def _has_crc(content: bytes, masked: bytes) -> bool:
    """Whether a checksum, which is stored rotated and with a constant added, is that of the content."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF == int.from_bytes(masked, "little")


def _read_record(path: Path, offset: int, length: int, subject: str) -> bytes:
    content = _read_file(path, offset + HEADER_BYTES, length + FOOTER_BYTES)
    record = content[:length]
    if not _has_crc(record, content[length:]):
        raise BoxlineError(f"{subject} is corrupt: its checksum is wrong. Download the file again.")
    return record


def _read_file(path: Path, offset: int, num_bytes: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read(num_bytes)
    except FileNotFoundError:
        raise BoxlineError(f"{path} not found. `dvc repro` downloads it.") from None
