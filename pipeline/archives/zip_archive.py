"""Zip archives read in place, member by member, and never extracted.

So DVC tracks a few large files instead of a hundred thousand small ones, and the name of a member is never used as a
path on this machine.
"""

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isal import igzip_lib, isal_zlib

from pipeline.archives.member_lookup import NameLookup, NameLookupError
from pipeline.core.errors import BoxlineError

MAX_MEMBER_BYTES = 2 << 30
"""The largest member that is read. The annotations of COCO 2017 have 0.5 GB; a zip bomb declares far more.

Only what a member costs is limited, not its compression ratio: a plain image compresses 500 to 1.
"""

MAX_IMAGE_BYTES = 64 << 20
"""The largest image file that is read."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED_FLAG = 0x1
UTF8_FLAG = 0x800
UNICODE_NAME_FIELD = 0x7075
LOCAL_HEADER_BYTES = 30
LOCAL_HEADER_SIGNATURE = b"PK\x03\x04"
CENTRAL_HEADER_BYTES = 46
CENTRAL_HEADER_SIGNATURE = b"PK\x01\x02"
CHUNK_BYTES = 1 << 17


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
        problem: why it cannot be read, as a predicate of the member; None if nothing is wrong with its entry. It
            concerns this member alone: the others are read.

    """

    archive: Path
    name: str
    offset: int
    stored_bytes: int
    size_bytes: int
    crc32: int
    deflated: bool
    problem: str | None = None

    def read(self, max_bytes: int = MAX_MEMBER_BYTES) -> bytes:
        """Return the bytes of the member after checking them against the CRC.

        Raises:
            BoxlineError: if the member has a problem or is corrupt, or declares more than `max_bytes`, in which case
                nothing is decompressed.
            OSError: if the disk fails, which does not mean that the member is corrupt.

        """
        if self.size_bytes > max_bytes and not self.problem:
            raise BoxlineError(f"{self} declares {self.size_bytes} bytes, more than {max_bytes} allowed.")
        # One byte more than declared shows that the declaration is wrong.
        content = self._read(self.size_bytes + 1 if self.deflated else self.size_bytes)
        if len(content) != self.size_bytes:
            raise self._corrupt_error(f"it has {len(content)} bytes, expected {self.size_bytes}")
        if isal_zlib.crc32(content) != self.crc32:
            raise self._corrupt_error(f"its CRC is {isal_zlib.crc32(content):08x}, expected {self.crc32:08x}")
        return content

    def read_head(self, num_bytes: int) -> bytes:
        """Return the first bytes of the member, or all if there are fewer. Their CRC is unknown, so it is not checked.

        Raises:
            BoxlineError: if the member has a problem, or is corrupt within these bytes.
            OSError: if the disk fails.

        """
        return self._read(min(num_bytes, self.size_bytes))

    def __str__(self) -> str:
        return f"{self.archive}: member {self.name}"

    def _read(self, num_bytes: int) -> bytes:
        """The first bytes of the member, or all if there are fewer."""
        if self.problem:
            raise BoxlineError(f"{self} {self.problem}. Get the archive from its publisher.")
        try:
            return self._read_unchecked(num_bytes)
        except FileNotFoundError:
            raise BoxlineError(f"{self.archive} not found. `dvc repro` downloads it.") from None
        except (ValueError, igzip_lib.error) as error:  # type: ignore[misc]  # the stub declares a class as an instance
            raise self._corrupt_error(str(error)) from None

    def _read_unchecked(self, num_bytes: int) -> bytes:
        with self.archive.open("rb", buffering=0) as file:
            header = os.pread(file.fileno(), LOCAL_HEADER_BYTES, self.offset)
            if header[:4] != LOCAL_HEADER_SIGNATURE or len(header) < LOCAL_HEADER_BYTES:
                raise ValueError("there is no local header at the offset in the central directory")
            # The lengths of the name and of the extra field, which follow the header.
            names_bytes = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            file.seek(self.offset + LOCAL_HEADER_BYTES + names_bytes)
            return self._inflate(file, num_bytes) if self.deflated else file.read(num_bytes)

    def _inflate(self, file: io.FileIO, num_bytes: int) -> bytes:
        """Decompress in chunks, until there are `num_bytes` or the member ends."""
        decompressor = isal_zlib.decompressobj(-zlib.MAX_WBITS)
        content = io.BytesIO()
        remaining_bytes = self.stored_bytes
        while remaining_bytes > 0 and not decompressor.eof and content.tell() < num_bytes:
            chunk = file.read(min(CHUNK_BYTES, remaining_bytes))
            if not chunk:
                break
            remaining_bytes -= len(chunk)
            content.write(decompressor.decompress(chunk, num_bytes - content.tell()))
        if not decompressor.eof and content.tell() < num_bytes:
            raise ValueError("it is truncated")
        return content.getvalue()

    def _corrupt_error(self, reason: str) -> BoxlineError:
        return BoxlineError(f"{self} is corrupt ({reason}). Download the archive again.")


class Archive:
    """The central directory of a zip archive. Every error message names the archive and the member.

    A fault of one entry (a link, an encrypted or overlapping member, a name that occurs twice, ...) is an error when
    that member is read, and not before: the other members are read as if it were absent.

    Raises:
        BoxlineError: if the file is missing or no zip archive.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            entries = [entry for entry in _read_entries(path) if not entry.filename.endswith(("/", "\\"))]
        except FileNotFoundError:
            raise BoxlineError(f"{path} not found. `dvc repro` downloads it.") from None
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise BoxlineError(
                f"{path} is not a readable zip archive ({error}). Delete it and download it again."
            ) from None
        self._members: dict[str, Member] = {}
        names_without_encoding = {}
        for entry, overlaps in zip(entries, _overlapping(entries), strict=True):
            name, content_without_encoding = _name(entry)
            problem = "has the name of another member" if name in self._members else _entry_problem(entry)
            self._members[name] = Member(
                path,
                name,
                entry.header_offset,
                entry.compress_size,
                entry.file_size,
                entry.CRC,
                entry.compress_type == zipfile.ZIP_DEFLATED,
                problem or ("overlaps another one" if overlaps else None),
            )
            if content_without_encoding is not None:
                names_without_encoding[name] = content_without_encoding
        self._lookup = NameLookup(self._members, names_without_encoding)

    def __getitem__(self, name: str) -> Member:
        """Return the member that `name` stands for; see `member_lookup`.

        Raises:
            BoxlineError: if there is none, or if several fit.

        """
        try:
            return self.find(name)
        except NameLookupError as error:
            raise BoxlineError(f"{self.path}: member {name} not found{error.hint}.") from None

    def find(self, name: str, folder: str = "") -> Member:
        """Return the member that `name` stands for.

        Args:
            name: the name of the member below `folder`.
            folder: empty or with a slash at its end.

        Raises:
            NameLookupError: if there is none, or if several fit.

        """
        return self._members[self._lookup.find(name, folder)]

    def get(self, name: str, folder: str = "") -> Member | None:
        """Return the member that `name` stands for, or None."""
        try:
            return self.find(name, folder)
        except NameLookupError:
            return None

    def names(self) -> list[str]:
        """Return the names of the members in the order of the archive, without folders."""
        return list(self._members)


class ArchiveFolder:
    """The archives below a download folder. The central directory of each is read once, when it is first used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._archives: dict[str, Archive] = {}

    def __getitem__(self, path: str) -> Archive:
        if path not in self._archives:
            self._archives[path] = Archive(self._folder / path)
        return self._archives[path]

    def paths(self) -> list[str]:
        """Return the paths of all archives below the folder, in alphabetical order."""
        return sorted(path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*.zip"))


def write_archive(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip archive of (name, content) pairs without compression and dates: equal members, equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


class _LenientFile(io.FileIO):
    """An archive in which zipfile reads the entries for whose name or version it would refuse the whole archive."""

    def read(self, size: int | None = -1, /) -> bytes:
        content = bytearray(super().read(size) or b"")
        start = 0
        while content.startswith(CENTRAL_HEADER_SIGNATURE, start) and len(content) >= start + CENTRAL_HEADER_BYTES:
            (flags,) = struct.unpack_from("<H", content, start + 8)
            name_bytes, extra_bytes, comment_bytes = struct.unpack_from("<HHH", content, start + 28)
            end = start + CENTRAL_HEADER_BYTES + name_bytes
            try:
                content[start + CENTRAL_HEADER_BYTES : end].decode()
            except UnicodeDecodeError:
                struct.pack_into("<H", content, start + 8, flags & ~UTF8_FLAG)
            content[start + 6] = min(content[start + 6], zipfile.MAX_EXTRACT_VERSION)
            start = end + extra_bytes + comment_bytes
        return bytes(content)


def _read_entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (NotImplementedError, UnicodeDecodeError):
        with _LenientFile(path) as file, zipfile.ZipFile(file) as archive:
            return archive.infolist()


def _name(entry: zipfile.ZipInfo) -> tuple[str, bytes | None]:
    """The name of an entry, and its bytes if nothing states their encoding.

    zipfile decodes names without the flag for UTF-8 as cp437. Some programs have the name in UTF-8 in an extra field.
    Many others omit the flag and write UTF-8, which few names in another encoding resemble (图片 in GBK does).
    """
    if entry.flag_bits & UTF8_FLAG or entry.filename.isascii() or entry.filename != entry.orig_filename:
        return entry.filename, None
    content = entry.filename.encode("cp437")
    extra_name = _extra_name(entry.extra, content)
    try:
        return (extra_name or content).decode(), None if extra_name else content
    except UnicodeDecodeError:
        return entry.filename, content


def _extra_name(extra: bytes, name: bytes) -> bytes | None:
    """The name in UTF-8 from the extra field for it, unless that belongs to another name."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        version_and_crc = struct.pack("<BI", 1, isal_zlib.crc32(name))
        if kind == UNICODE_NAME_FIELD and extra[4:].startswith(version_and_crc):
            return extra[4 + len(version_and_crc) : 4 + size]
        extra = extra[4 + size :]
    return None


def _entry_problem(entry: zipfile.ZipInfo) -> str | None:
    """Why a member cannot be read, as a predicate of the member, or None."""
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    if entry.flag_bits & ENCRYPTED_FLAG:
        return "is encrypted"
    if entry.compress_type not in METHODS:
        return f"has compression method {entry.compress_type}, expected 0 (stored) or 8 (deflated)"
    if entry.compress_type == zipfile.ZIP_STORED and entry.compress_size != entry.file_size:
        return f"is stored in {entry.compress_size} bytes but declares {entry.file_size}"
    return None


def _overlapping(entries: Sequence[zipfile.ZipInfo]) -> list[bool]:
    """Which entries share bytes with another one, with which a small archive can decompress to petabytes.

    As many as possible without a common byte are kept: an entry that claims the whole archive takes no other with it.
    """
    overlapping, end = [False] * len(entries), 0
    ends = [entry.header_offset + LOCAL_HEADER_BYTES + entry.compress_size for entry in entries]
    for row in sorted(range(len(entries)), key=lambda row: (ends[row], -entries[row].header_offset)):
        overlapping[row] = entries[row].header_offset < end
        if not overlapping[row]:
            end = ends[row]
    return overlapping
