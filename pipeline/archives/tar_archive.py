"""Tar archives, read once from their start to their end, with limits for those of a malicious author.

A tar archive has no directory, so its members cannot be read in place: the stage `download` makes a zip archive of it.
"""

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from isal import igzip, isal_zlib

from pipeline.archives.folder_files import is_hidden
from pipeline.archives.left_out import LeftOutFiles
from pipeline.archives.member_lookup import with_slashes
from pipeline.archives.zip_archive import ARCHIVE_SUFFIX, MAX_MEMBER_BYTES
from pipeline.core.errors import BoxlineError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

HEAD_BYTES = 512
ZIP_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
COMPRESSIONS = {b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ\0": ".tar.xz"}
"""The suffixes of archives by the bytes with which they begin."""

MAX_DECODED_BYTES = 1 << 40
"""The largest tar archive that is read, in bytes after decompression: 1 TiB. A bomb decompresses to far more."""

MAX_HEADER_BYTES = 1 << 20
"""The longest name or list of attributes of a member."""

MAX_DICTIONARY_BYTES = 256 << 20
"""Memory for the decompression of .xz; its highest level takes a quarter of it."""

ADVICE = "Get it again from its publisher."
COMPRESSED_BYTES = 1 << 17
SPARSE_PROBLEM = "it has sparse files; pack it without --sparse"
HEADER_TYPES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)

DECODING_ERRORS = (tarfile.TarError, EOFError, zlib.error, isal_zlib.error, lzma.LZMAError, RecursionError, ValueError)


def read_tar(path: Path, received: Callable[[int], None]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each regular file of a tar archive, in its order.

    Hidden files and folders are left out silently; links, devices, names that lead out of the archive, names that
    occurred before and very large members with a warning.

    Args:
        path: the archive, which may be compressed with gzip, bzip2 or xz.
        received: called after each member with the position in the archive in bytes, before decompression.

    Raises:
        BoxlineError: if the archive is truncated or corrupt, or is larger than MAX_DECODED_BYTES.

    """
    try:
        with path.open("rb") as file, LeftOutFiles(str(path)) as left_out:
            decoded = _Decoded(_decompressed(file))
            with tarfile.open(fileobj=decoded, mode="r|", tarinfo=_StrictHeader) as archive:  # type: ignore[call-overload]
                names: set[str] = set()
                while (member := archive.next()) is not None:
                    archive.members.clear()  # else it holds a million headers
                    archive.pax_headers = {}
                    name = with_slashes(member.name)
                    problem = _problem(member, name, names)
                    if problem:
                        left_out.add(f"{path}: member {member.name!r} {problem}.")
                    elif member.isreg() and not is_hidden(name):
                        content = archive.extractfile(member)
                        assert content is not None  # the member is a regular file
                        names.add(name)
                        yield name, content.read()
                    received(file.tell())
                while decoded.read(COMPRESSED_BYTES):  # the checksums of some compressions are at the end
                    pass
    except DECODING_ERRORS as error:  # type: ignore[misc]  # the stub declares a class as an instance
        raise BoxlineError(
            f"{path} cannot be read as a tar archive: {error}. Get it again from its publisher."
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise BoxlineError(f"{path} could not be read: {reason}. {ADVICE}") from None


class _Stream(Protocol):
    def read(self, num_bytes: int, /) -> bytes:
        """Return up to so many bytes, and none at the end."""


class _Decoded:
    """A stream that ends with an error above MAX_DECODED_BYTES."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._num_bytes = 0

    def read(self, num_bytes: int) -> bytes:
        content = self._stream.read(num_bytes)
        self._num_bytes += len(content)
        if self._num_bytes > MAX_DECODED_BYTES:
            raise tarfile.ReadError(f"it decompresses to more than the {MAX_DECODED_BYTES} bytes allowed")
        return content


class _StrictHeader(tarfile.TarInfo):
    """A header that is an error where tarfile would silently end the archive or use unlimited memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictHeader":
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the regular end
            raise
        except tarfile.HeaderError as error:
            reason = "it is truncated" if len(buf) < tarfile.BLOCKSIZE else str(error)
            raise tarfile.ReadError(reason) from None
        if header.type in HEADER_TYPES and header.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header has {header.size} bytes, more than {MAX_HEADER_BYTES} allowed")
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError(SPARSE_PROBLEM)
        return header

    def _proc_gnusparse_10(self, *_: object) -> None:
        """Refuse the other form of sparse files, whose map has no limit either."""
        raise tarfile.ReadError(SPARSE_PROBLEM)


class _XzStream:
    """A stream that decompresses .xz with MAX_DICTIONARY_BYTES, a limit that `lzma.open` lacks."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(memlimit=MAX_DICTIONARY_BYTES)

    def read(self, num_bytes: int) -> bytes:
        """Return at least one byte before the end."""
        content = b""
        while not content:
            compressed = self._file.read(COMPRESSED_BYTES) if self._decompressor.needs_input else b""
            if self._decompressor.eof:
                compressed = self._decompressor.unused_data or self._file.read(COMPRESSED_BYTES)
                if not compressed.strip(b"\0"):  # padding
                    return b""
                self._decompressor = lzma.LZMADecompressor(memlimit=MAX_DICTIONARY_BYTES)
            elif self._decompressor.needs_input and not compressed:
                raise EOFError("it is truncated")
            content = self._decompressor.decompress(compressed, num_bytes)
        return content


def archive_suffix(head: bytes) -> str | None:
    """The suffix of an archive by its first HEAD_BYTES, or None if it is no archive.

    A compressed file is taken for a tar archive.
    """
    if head.startswith(ZIP_SIGNATURES):
        return ARCHIVE_SUFFIX
    if head[257:262] == b"ustar":
        return ".tar"
    return next((suffix for signature, suffix in COMPRESSIONS.items() if head.startswith(signature)), None)


def _decompressed(file: BinaryIO) -> _Stream:
    """The stream of a tar archive, whatever its suffix says."""
    suffix = archive_suffix(file.read(HEAD_BYTES))
    file.seek(0)
    if suffix == ".tar.gz":
        return igzip.open(file)
    if suffix == ".tar.bz2":
        return bz2.open(file)
    return _XzStream(file) if suffix == ".tar.xz" else file


def _problem(member: tarfile.TarInfo, name: str, names: set[str]) -> str | None:
    """Why a member is left out, as a predicate; None for folders too, which are silently passed over."""
    if member.isdir():
        return None
    if not member.isreg():
        return "is a link or a device"
    if member.name.startswith("/") or ".." in name.split("/"):
        return "has a name that leads out of the archive"
    if name in names:
        return "has the name of another member"
    if member.size > MAX_MEMBER_BYTES:
        return f"has {member.size} bytes, more than {MAX_MEMBER_BYTES} allowed"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    return None
