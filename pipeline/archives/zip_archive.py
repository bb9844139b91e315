"""Zip archives read in place, member by member; nothing is ever extracted.

DVC then tracks a handful of big files instead of a hundred thousand small ones, and a member's name never becomes a
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
"""Largest member that is read: the annotations of COCO 2017 are 0.5 GB. A zip bomb claims far more."""

MAX_IMAGE_BYTES = 64 << 20
"""Largest image file that is read."""

MAX_COMPRESSION_RATIO = 200
SMALL_BYTES = 1 << 20
"""Annotations shrink to a fifth, a drawn CSV to a twentieth. Below a megabyte the ratio harms nobody."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
LOCAL_HEADER_BYTES = 30
LOCAL_SIGNATURE = b"PK\x03\x04"
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """Where one member lies. Small and without open files: any thread, process or machine reads it on its own.

    `offset` is that of its local header; `stored_bytes` of them lie in the archive and unpack to `size_bytes`.
    """

    archive: Path
    name: str
    offset: int
    stored_bytes: int
    size_bytes: int
    crc32: int
    deflated: bool

    def read(self, max_bytes: int = MAX_MEMBER_BYTES) -> bytes:
        """The member's bytes, checked against the archive's own CRC.

        Raises BoxlineError where it is damaged or claims more than `max_bytes`, before unpacking it. A fault of the
        disk stays an OSError: it says nothing about the member.
        """
        if self.size_bytes > max_bytes:
            raise BoxlineError(f"{self} claims {self.size_bytes} bytes, more than {max_bytes} allowed.")
        try:
            content = self._content()
        except FileNotFoundError:
            raise BoxlineError(f"{self.archive} not found. `dvc repro` downloads it.") from None
        except (ValueError, igzip_lib.error) as error:  # type: ignore[misc]  # the stub calls a class an instance
            raise self._damaged(str(error)) from None
        if len(content) != self.size_bytes:
            raise self._damaged(f"it has {len(content)} bytes, expected {self.size_bytes}")
        if isal_zlib.crc32(content) != self.crc32:
            raise self._damaged(f"its CRC is {isal_zlib.crc32(content):08x}, expected {self.crc32:08x}")
        return content

    def __str__(self) -> str:
        return f"{self.archive}: member {self.name}"

    def _content(self) -> bytes:
        with self.archive.open("rb", buffering=0) as file:
            header = os.pread(file.fileno(), LOCAL_HEADER_BYTES, self.offset)
            if header[:4] != LOCAL_SIGNATURE or len(header) < LOCAL_HEADER_BYTES:
                raise ValueError("there is no member where the table of contents says")
            names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            file.seek(self.offset + LOCAL_HEADER_BYTES + names)
            return self._inflated(file) if self.deflated else file.read(self.size_bytes)

    def _inflated(self, file: io.FileIO) -> bytes:
        """Piece by piece, and never more than one byte beyond what the member claims."""
        unpacking = isal_zlib.decompressobj(-zlib.MAX_WBITS)
        content = io.BytesIO()
        left = self.stored_bytes
        while left > 0 and not unpacking.eof and content.tell() <= self.size_bytes:
            piece = file.read(min(PIECE_BYTES, left))
            if not piece:
                break
            left -= len(piece)
            content.write(unpacking.decompress(piece, self.size_bytes + 1 - content.tell()))
        if not unpacking.eof and content.tell() <= self.size_bytes:
            raise ValueError("it is cut off")
        return content.getvalue()

    def _damaged(self, reason: str) -> BoxlineError:
        return BoxlineError(f"{self} is damaged ({reason}). Download the archive again.")


class Archive:
    """The table of contents of a zip archive. Every complaint names the archive and the member.

    Raises BoxlineError where there is none, and where a name or a size in it is one that no honest archive has: a path
    that leads out of the archive, a link, a name twice, members that overlap, or more content than could be stored.
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
            if fault := _fault(entry, self._members):
                raise BoxlineError(f"{path}: member {entry.filename!r} {fault}. Get the archive from its publisher.")
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
        self._require_apart()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> Member:
        try:
            return self._members[name]
        except KeyError:
            raise BoxlineError(f"{self.path}: member {name} not found.") from None

    def get(self, name: str) -> Member | None:
        """The member of that name, or None."""
        return self._members.get(name)

    def names(self) -> list[str]:
        """The members' names, in the archive's order, folders left out."""
        return list(self._members)

    def _require_apart(self) -> None:
        """Members that share bytes are how a small archive unpacks to petabytes."""
        end = 0
        for member in sorted(self._members.values(), key=lambda member: member.offset):
            if member.offset < end:
                raise BoxlineError(
                    f"{self.path}: member {member.name!r} overlaps another one. Get the archive from its publisher."
                )
            end = member.offset + LOCAL_HEADER_BYTES + member.stored_bytes


class ArchiveFolder:
    """The archives below one download folder, each table of contents read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._archives: dict[str, Archive] = {}

    def __getitem__(self, path: str) -> Archive:
        if path not in self._archives:
            self._archives[path] = Archive(self._folder / path)
        return self._archives[path]


def write_archive(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """A zip archive of (name, bytes), stored without compression and without dates: the same members, the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith("/")


def _fault(entry: zipfile.ZipInfo, earlier: dict[str, Member]) -> str | None:
    """What is wrong with an entry of the table of contents, or None."""
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or re.match("[A-Za-z]:", entry.filename):
        return "has a name that leads out of the archive"
    if _is_folder(entry):
        return None
    if not path.parts:
        return "has no name"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    if entry.filename in earlier:
        return "is there twice"
    if entry.flag_bits & ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in METHODS:
        return f"is compressed by method {entry.compress_type}, expected 0 (stored) or 8 (deflated)"
    if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
        return f"is stored in {entry.compress_size} bytes and claims {entry.file_size}"
    if entry.file_size > max(SMALL_BYTES, MAX_COMPRESSION_RATIO * entry.compress_size):
        return f"claims {entry.file_size} bytes in {entry.compress_size}, as only a zip bomb does"
    return None
