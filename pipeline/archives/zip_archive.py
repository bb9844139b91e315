"""Zip archives read in place, member by member, and never extracted.

So DVC tracks a few large files instead of a hundred thousand small ones, and the name of a member is never used as a
path on this machine.
"""

import io
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

from pipeline.archives.central_directory import CentralDirectory, read_central_directory
from pipeline.archives.compact_mapping import CompactMapping
from pipeline.archives.member_lookup import NameLookup, NameLookupError
from pipeline.core.errors import BoxlineError

MAX_MEMBER_BYTES = 2 << 30
"""The largest member that is read. The annotations of COCO 2017 have 0.5 GB; a zip bomb declares far more.

Only what a member costs is limited, not its compression ratio: a plain image compresses 500 to 1.
"""

MAX_IMAGE_BYTES = 64 << 20
"""The largest image file that is read."""

ARCHIVE_SUFFIX = ".zip"

LOOSE_FILES_COMMENT = b"loose files"
"""The comment of an archive of files that were loose at their source, see `FileTree`."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED_FLAG = 0x1
LOCAL_HEADER_BYTES = 30
LOCAL_HEADER_SIGNATURE = b"PK\x03\x04"
FOLDER_ENDS = ("/", "\\")
CHUNK_BYTES = 1 << 17
NAMES_BYTES = 512
"""Enough for the name and the extra fields in almost every local header."""


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
        content = b"".join(self._checked_size(max_bytes))
        self._check(len(content), isal_zlib.crc32(content))
        return content

    def read_chunks(self, max_bytes: int = MAX_MEMBER_BYTES) -> Iterator[bytes]:
        """Yield the bytes of the member piece by piece, for what need not be in memory at once.

        Raises:
            BoxlineError: as `read` does; that the member is corrupt may show after its last piece only.
            OSError: if the disk fails.

        """
        num_bytes, crc32 = 0, 0
        for chunk in self._checked_size(max_bytes):
            num_bytes, crc32 = num_bytes + len(chunk), isal_zlib.crc32(chunk, crc32)
            yield chunk
        self._check(num_bytes, crc32)

    def read_head(self, num_bytes: int) -> bytes:
        """Return the first bytes of the member, or all if there are fewer. Their CRC is unknown, so it is not checked.

        Raises:
            BoxlineError: if the member has a problem, or is corrupt within these bytes.
            OSError: if the disk fails.

        """
        return b"".join(self._chunks(min(num_bytes, self.size_bytes)))

    def __str__(self) -> str:
        return f"{self.archive}: member {self.name}"

    def _checked_size(self, max_bytes: int) -> Iterator[bytes]:
        if self.size_bytes > max_bytes and not self.problem:
            raise BoxlineError(f"{self} declares {self.size_bytes} bytes, more than {max_bytes} allowed.")
        # One byte more than declared shows that the declaration is wrong.
        return self._chunks(self.size_bytes + 1 if self.deflated else self.size_bytes)

    def _check(self, num_bytes: int, crc32: int) -> None:
        if num_bytes != self.size_bytes:
            raise self._corrupt_error(f"it has {num_bytes} bytes, expected {self.size_bytes}")
        if crc32 != self.crc32:
            raise self._corrupt_error(f"its CRC is {crc32:08x}, expected {self.crc32:08x}")

    def _chunks(self, num_bytes: int) -> Iterator[bytes]:
        """The first bytes of the member, or all if there are fewer, piece by piece."""
        if self.problem:
            raise BoxlineError(f"{self} {self.problem}. Get the archive from its publisher.")
        try:
            with self.archive.open("rb", buffering=0) as file:
                header = os.pread(file.fileno(), LOCAL_HEADER_BYTES, self.offset)
                if header[:4] != LOCAL_HEADER_SIGNATURE or len(header) < LOCAL_HEADER_BYTES:
                    raise ValueError("there is no local header at the offset in the central directory")
                # The lengths of the name and of the extra field, which follow the header.
                names_bytes = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
                file.seek(self.offset + LOCAL_HEADER_BYTES + names_bytes)
                yield from self._inflate(file, num_bytes) if self.deflated else _read_pieces(file, num_bytes)
        except FileNotFoundError:
            raise BoxlineError(f"{self.archive} not found. `dvc repro` downloads it.") from None
        except (ValueError, igzip_lib.error) as error:  # type: ignore[misc]  # the stub declares a class as an instance
            raise self._corrupt_error(str(error)) from None

    def _inflate(self, file: io.FileIO, num_bytes: int) -> Iterator[bytes]:
        """Decompress until there are `num_bytes` or the member ends."""
        if num_bytes == 0:  # which the decompressor takes for no limit
            return
        decompressor = isal_zlib.decompressobj(-zlib.MAX_WBITS)
        for chunk in _read_pieces(file, self.stored_bytes):
            content = decompressor.decompress(chunk, num_bytes)
            num_bytes -= len(content)
            yield content
            if decompressor.eof or num_bytes == 0:
                return
        raise ValueError("it is truncated")

    def _corrupt_error(self, reason: str) -> BoxlineError:
        return BoxlineError(f"{self} is corrupt ({reason}). Download the archive again.")


def _read_pieces(file: io.FileIO, num_bytes: int) -> Iterator[bytes]:
    """The next bytes of a file, or all if there are fewer."""
    while num_bytes > 0 and (piece := file.read(min(num_bytes, CHUNK_BYTES))):
        num_bytes -= len(piece)
        yield piece


class Archive:
    """The members of a zip archive. Every error message names the archive and the member.

    A fault of one entry (a link, an encrypted or overlapping member, a name that occurs twice, ...) is an error when
    that member is read, and not before: the other members are read as if it were absent.

    Attributes:
        path: the path of the archive.
        comment: its comment.
        names_without_encoding: the bytes of those names whose encoding nothing states.

    Raises:
        BoxlineError: if the file is missing or no zip archive.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._directory = read_central_directory(path)
        except FileNotFoundError:
            raise BoxlineError(f"{path} not found. `dvc repro` downloads it.") from None
        except (OSError, ValueError) as error:
            raise BoxlineError(
                f"{path} is not a readable zip archive ({error}). Delete it and download it again."
            ) from None
        self.comment = self._directory.comment
        names = self._directory.names
        files = [row for row, name in enumerate(names) if not name.endswith(FOLDER_ENDS)]
        self._rows = CompactMapping(dict(zip(map(names.__getitem__, files), files, strict=True)))
        self._repeated = _repeated(names, files) if len(self._rows) < len(files) else frozenset()
        self._overlapping = _overlapping(self._directory, np.array(files, np.int64))
        without_encoding = self._directory.names_without_encoding
        self.names_without_encoding = {
            names[row]: content for row, content in without_encoding.items() if names[row] in self._rows
        }
        self._lookup = NameLookup(self._rows, self.names_without_encoding)

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
        return self.member(self._lookup.find(name, folder))

    def get(self, name: str, folder: str = "") -> Member | None:
        """Return the member that `name` stands for, or None."""
        try:
            return self.find(name, folder)
        except NameLookupError:
            return None

    def names(self) -> list[str]:
        """Return the names of the members in the order of the archive, without folders."""
        names = [name for name in self._directory.names if not name.endswith(FOLDER_ENDS)]
        return list(dict.fromkeys(names)) if self._repeated else names

    def member(self, name: str) -> Member:
        """Return the member with exactly this name, one of `names`."""
        row, directory = self._rows[name], self._directory
        return Member(
            self.path,
            name,
            int(directory.offsets[row]),
            int(directory.stored_bytes[row]),
            int(directory.size_bytes[row]),
            int(directory.crc32[row]),
            bool(directory.methods[row] == zipfile.ZIP_DEFLATED),
            self._problem(name, row),
        )

    def read_many(self, names: Iterable[str], max_bytes: int = MAX_MEMBER_BYTES) -> Iterator[bytes | BoxlineError]:
        """Read members one after the other: several times as fast as `Member.read` if they are small.

        Args:
            names: some of `names`.
            max_bytes: the largest member that is read.

        Yields:
            The content of each member, or why it cannot be read.

        """
        directory = self._directory
        for name, content in self._starts(names, max_bytes):
            row = self._rows[name]
            is_whole = content is not None and len(content) == directory.size_bytes[row]
            if content is not None and is_whole and isal_zlib.crc32(content) == directory.crc32[row]:
                yield content
                continue
            try:
                yield self.member(name).read(max_bytes)
            except BoxlineError as error:
                yield error

    def read_heads(self, names: Iterable[str], num_bytes: int) -> Iterator[bytes | BoxlineError]:
        """Read the first bytes of members, or all if there are fewer; like `read_many` without a check of the CRC.

        Args:
            names: some of `names`.
            num_bytes: how many.

        Yields:
            The bytes of each member, or why they cannot be read.

        """
        for name, content in self._starts(names, num_bytes):
            if content is not None:
                yield content
                continue
            try:
                yield self.member(name).read_head(num_bytes)
            except BoxlineError as error:
                yield error

    def _starts(self, names: Iterable[str], num_bytes: int) -> Iterator[tuple[str, bytes | None]]:
        """The first bytes of each member with its name; None if they cannot be read by one call.

        Such members are compressed, have a problem, or a long extra field in their header.
        """
        directory, is_plain = self._directory, self._is_plain
        with self.path.open("rb", buffering=0) as file:
            descriptor = file.fileno()
            for name in names:
                row = self._rows[name]
                if not is_plain[row] or name in self._repeated:
                    yield name, None
                    continue
                length = min(num_bytes, int(directory.size_bytes[row]))
                block = os.pread(descriptor, LOCAL_HEADER_BYTES + NAMES_BYTES + length, int(directory.offsets[row]))
                start = LOCAL_HEADER_BYTES + sum(block[26:30:2]) + 256 * sum(block[27:30:2])
                content = block[start : start + length]
                is_complete = block.startswith(LOCAL_HEADER_SIGNATURE) and len(content) == length
                yield name, content if is_complete else None

    @cached_property
    def _is_plain(self) -> NDArray[np.bool_]:
        """Which entries are stored without compression and have no problem but perhaps their name, bool [N]."""
        directory = self._directory
        is_plain = (directory.methods == zipfile.ZIP_STORED) & (directory.stored_bytes == directory.size_bytes)
        is_plain &= directory.flags & ENCRYPTED_FLAG == 0
        is_plain &= (directory.external_attributes >> 16) & 0o170000 != stat.S_IFLNK
        is_plain[list(self._overlapping)] = False
        return is_plain

    def _problem(self, name: str, row: int) -> str | None:
        """Why a member cannot be read, as a predicate of the member, or None."""
        directory = self._directory
        method, flags = int(directory.methods[row]), int(directory.flags[row])
        stored_bytes, size_bytes = directory.stored_bytes[row], directory.size_bytes[row]
        if name in self._repeated:
            return "has the name of another member"
        if stat.S_ISLNK(int(directory.external_attributes[row]) >> 16):
            return "is a link"
        if flags & ENCRYPTED_FLAG:
            return "is encrypted"
        if method not in METHODS:
            return f"has compression method {method}, expected 0 (stored) or 8 (deflated)"
        if method == zipfile.ZIP_STORED and stored_bytes != size_bytes:
            return f"is stored in {stored_bytes} bytes but declares {size_bytes}"
        return "overlaps another one" if row in self._overlapping else None


def is_archive_name(name: str) -> bool:
    """Return whether a file is an archive, by its name."""
    return name.lower().endswith(ARCHIVE_SUFFIX)


def write_archive(path: Path, members: Iterable[tuple[str, bytes]], comment: bytes = b"") -> None:
    """Write a zip archive of (name, content) pairs without compression and dates: equal members, equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = comment
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


def _repeated(names: Sequence[str], files: Sequence[int]) -> frozenset[str]:
    """The names that several members have."""
    counts = Counter(map(names.__getitem__, files))
    return frozenset(name for name, count in counts.items() if count > 1)


def _overlapping(directory: CentralDirectory, files: NDArray[np.int64]) -> frozenset[int]:
    """Which of the files share bytes with another one, with which a small archive can decompress to petabytes.

    As many as possible without a common byte are kept: an entry that claims the whole archive takes no other with it.
    """
    starts = directory.offsets[files]
    ends = starts + LOCAL_HEADER_BYTES + directory.stored_bytes[files]
    order = np.lexsort((-starts, ends))
    starts, ends = starts[order], ends[order]
    if not np.any(starts[1:] < ends[:-1]):
        return frozenset()
    overlapping, end = set(), 0
    for row, entry_start, entry_end in zip(files[order].tolist(), starts.tolist(), ends.tolist(), strict=True):
        if entry_start < end:
            overlapping.add(row)
        else:
            end = entry_end
    return frozenset(overlapping)
