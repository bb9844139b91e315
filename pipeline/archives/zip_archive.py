"""Zip archives read in place, member by member, and never extracted.

So DVC tracks a few large files instead of a hundred thousand small ones, and the name of a member is never used as a
path on this machine.
"""

import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from isal import igzip_lib, isal_zlib

from pipeline.core.errors import BoxlineError

MAX_MEMBER_BYTES = 2 << 30
"""The largest member that is read. The annotations of COCO 2017 have 0.5 GB; a zip bomb declares far more."""

MAX_IMAGE_BYTES = 64 << 20
"""The largest image file that is read."""

MAX_COMPRESSION_RATIO = 200
"""The largest ratio of uncompressed to compressed size. COCO's annotations reach 5, a synthetic CSV file reaches 20."""

SMALL_MEMBER_BYTES = 1 << 20
"""Below this size any compression ratio is harmless."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED_FLAG = 0x1
LOCAL_HEADER_BYTES = 30
LOCAL_HEADER_SIGNATURE = b"PK\x03\x04"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """The location of one member. It is small and holds no open file, so any thread or process can read the member.

    Attributes:
        archive: the path of the archive.
        name: the name of the member in the archive.
        offset: the position of its local header in bytes.
        stored_bytes: its size in the archive.
        size_bytes: its uncompressed size.
        crc32: the CRC-32 of the uncompressed bytes.
        deflated: whether it is compressed.

    """

    archive: Path
    name: str
    offset: int
    stored_bytes: int
    size_bytes: int
    crc32: int
    deflated: bool

    def read(self, max_bytes: int = MAX_MEMBER_BYTES) -> bytes:
        """Return the bytes of the member after checking them against the CRC.

        Raises:
            BoxlineError: if the member is corrupt, or declares more than `max_bytes`, in which case nothing is
                decompressed.
            OSError: if the disk fails, which does not mean that the member is corrupt.

        """
        if self.size_bytes > max_bytes:
            raise BoxlineError(f"{self} declares {self.size_bytes} bytes, more than {max_bytes} allowed.")
        try:
            content = self._read()
        except FileNotFoundError:
            raise BoxlineError(f"{self.archive} not found. `dvc repro` downloads it.") from None
        except (ValueError, igzip_lib.error) as error:  # type: ignore[misc]  # the stub declares a class as an instance
            raise self._corrupt_error(str(error)) from None
        if len(content) != self.size_bytes:
            raise self._corrupt_error(f"it has {len(content)} bytes, expected {self.size_bytes}")
        if isal_zlib.crc32(content) != self.crc32:
            raise self._corrupt_error(f"its CRC is {isal_zlib.crc32(content):08x}, expected {self.crc32:08x}")
        return content

    def __str__(self) -> str:
        return f"{self.archive}: member {self.name}"

    def _read(self) -> bytes:
        with self.archive.open("rb", buffering=0) as file:
            header = os.pread(file.fileno(), LOCAL_HEADER_BYTES, self.offset)
            if header[:4] != LOCAL_HEADER_SIGNATURE or len(header) < LOCAL_HEADER_BYTES:
                raise ValueError("there is no local header at the offset in the central directory")
            # The lengths of the name and of the extra field, which follow the header.
            names_bytes = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            file.seek(self.offset + LOCAL_HEADER_BYTES + names_bytes)
            return self._inflate(file) if self.deflated else file.read(self.size_bytes)

    def _inflate(self, file: io.FileIO) -> bytes:
        """Decompress in chunks, and at most one byte more than the member declares."""
        decompressor = isal_zlib.decompressobj(-zlib.MAX_WBITS)
        content = io.BytesIO()
        remaining_bytes = self.stored_bytes
        while remaining_bytes > 0 and not decompressor.eof and content.tell() <= self.size_bytes:
            chunk = file.read(min(CHUNK_BYTES, remaining_bytes))
            if not chunk:
                break
            remaining_bytes -= len(chunk)
            content.write(decompressor.decompress(chunk, self.size_bytes + 1 - content.tell()))
        if not decompressor.eof and content.tell() <= self.size_bytes:
            raise ValueError("it is truncated")
        return content.getvalue()

    def _corrupt_error(self, reason: str) -> BoxlineError:
        return BoxlineError(f"{self} is corrupt ({reason}). Download the archive again.")


class Archive:
    """The central directory of a zip archive. Every error message names the archive and the member.

    Raises:
        BoxlineError: if the file is missing or no zip archive, or if an entry is malformed or malicious: a name that
            leads out of the archive, a link, a duplicate name, an encrypted or overlapping member, or more content than
            its compressed size can hold.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except FileNotFoundError:
            raise BoxlineError(f"{path} not found. `dvc repro` downloads it.") from None
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise BoxlineError(
                f"{path} is not a readable zip archive ({error}). Delete it and download it again."
            ) from None
        self._members: dict[str, Member] = {}
        for entry in entries:
            if problem := _entry_problem(entry, self._members):
                raise BoxlineError(f"{path}: member {entry.filename!r} {problem}. Get the archive from its publisher.")
            if _is_folder(entry):
                continue
            self._members[entry.filename] = Member(
                path,
                entry.filename,
                entry.header_offset,
                entry.compress_size,
                entry.file_size,
                entry.CRC,
                entry.compress_type == zipfile.ZIP_DEFLATED,
            )
        self._reject_overlaps()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> Member:
        try:
            return self._members[name]
        except KeyError:
            raise BoxlineError(f"{self.path}: member {name} not found.") from None

    def get(self, name: str) -> Member | None:
        """Return the member of that name, or None."""
        return self._members.get(name)

    def names(self) -> list[str]:
        """Return the names of the members in the order of the archive, without folders."""
        return list(self._members)

    def _reject_overlaps(self) -> None:
        """Reject members that share bytes, with which a small archive can decompress to petabytes."""
        end = 0
        for member in sorted(self._members.values(), key=lambda member: member.offset):
            if member.offset < end:
                raise BoxlineError(
                    f"{self.path}: member {member.name!r} overlaps another one. Get the archive from its publisher."
                )
            end = member.offset + LOCAL_HEADER_BYTES + member.stored_bytes


class ArchiveFolder:
    """The archives below a download folder. The central directory of each is read once, when it is first used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._archives: dict[str, Archive] = {}

    def __getitem__(self, path: str) -> Archive:
        if path not in self._archives:
            self._archives[path] = Archive(self._folder / path)
        return self._archives[path]


def write_archive(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip archive of (name, content) pairs without compression and dates: equal members, equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith("/")


def _entry_problem(entry: zipfile.ZipInfo, previous_members: dict[str, Member]) -> str | None:
    """Why an entry of the central directory is rejected, as a predicate of the member, or None."""
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or re.match("[A-Za-z]:", entry.filename):
        return "has a name that leads out of the archive"
    if _is_folder(entry):
        return None
    if not path.parts:
        return "has no name"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    if entry.filename in previous_members:
        return "has the name of another member"
    if entry.flag_bits & ENCRYPTED_FLAG:
        return "is encrypted"
    if entry.compress_type not in METHODS:
        return f"has compression method {entry.compress_type}, expected 0 (stored) or 8 (deflated)"
    if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
        return f"is stored in {entry.compress_size} bytes but declares {entry.file_size}"
    if entry.file_size > max(SMALL_MEMBER_BYTES, MAX_COMPRESSION_RATIO * entry.compress_size):
        return f"declares {entry.file_size} bytes in {entry.compress_size}, as only a zip bomb does"
    return None
