"""The central directory of a zip archive as columns: a million entries take seconds and little memory.

zipfile makes an object of each entry, and refuses a whole archive for the name or version of one entry.
"""

import os
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

MAX_DIRECTORY_BYTES = 1 << 30
"""The largest central directory that is read, which has ten million entries."""

UTF8_FLAG = 0x800
ZIP64_FIELD = 0x0001
UNICODE_NAME_FIELD = 0x7075

END = struct.Struct("<4s4HIIH")
END_SIGNATURE = b"PK\x05\x06"
MAX_COMMENT_BYTES = (1 << 16) - 1
ZIP64_LOCATOR = struct.Struct("<4sIQI")
ZIP64_LOCATOR_SIGNATURE = b"PK\x06\x07"
ZIP64_END = struct.Struct("<4sQ2H2I4Q")
ZIP64_END_SIGNATURE = b"PK\x06\x06"

ENTRY = np.dtype(
    [
        ("signature", "S4"),
        ("versions", "<u2", 2),
        ("flags", "<u2"),
        ("method", "<u2"),
        ("time_and_date", "<u2", 2),
        ("crc32", "<u4"),
        ("stored_bytes", "<u4"),
        ("size_bytes", "<u4"),
        ("name_bytes", "<u2"),
        ("extra_bytes", "<u2"),
        ("comment_bytes", "<u2"),
        ("disk", "<u2"),
        ("internal_attributes", "<u2"),
        ("external_attributes", "<u4"),
        ("offset", "<u4"),
    ]
)
ENTRY_SIGNATURE = b"PK\x01\x02"
LENGTHS = struct.Struct("<4s24x3H")
"""Of an entry: its signature, and the lengths of its name, its extra fields and its comment."""

IN_ZIP64_FIELD = 0xFFFFFFFF
"""Stands for a number that is in the extra field for large archives."""

LARGEST = 1 << 60
"""Far above any offset or size, and small enough for sums; larger numbers are replaced by it."""


@dataclass(frozen=True)
class CentralDirectory:
    """The entries of an archive in its order, N of them. All arrays have the shape (N,).

    Attributes:
        names: the decoded names.
        names_without_encoding: the bytes of those names whose encoding nothing states, by row.
        flags: the general purpose flags, uint16.
        methods: the compression methods, uint16.
        crc32: the CRC-32 of the uncompressed bytes, uint32.
        stored_bytes: the sizes in the archive, int64.
        size_bytes: the uncompressed sizes, int64.
        external_attributes: of the file system, uint32.
        offsets: the positions of the local headers in bytes, int64.
        comment: the comment of the archive.

    """

    names: list[str]
    names_without_encoding: dict[int, bytes]
    flags: NDArray[np.uint16]
    methods: NDArray[np.uint16]
    crc32: NDArray[np.uint32]
    stored_bytes: NDArray[np.int64]
    size_bytes: NDArray[np.int64]
    external_attributes: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    comment: bytes


def read_central_directory(path: Path) -> CentralDirectory:
    """Read the central directory of an archive. Faults of single entries are left to the caller.

    Raises:
        ValueError: if the file is no zip archive; the message is a phrase.
        OSError: if it is missing or unreadable.

    """
    with path.open("rb") as file:
        end = _read_end(file)
        file.seek(end.offset)
        content = file.read(end.num_bytes)
    starts, names, names_without_encoding = _split_entries(content)
    entries = _entries_at(starts, content)
    large = {field: entries[field].astype(np.int64) for field in ("size_bytes", "stored_bytes", "offset")}
    _fill_in_zip64(large, starts, content)
    return CentralDirectory(
        names,
        names_without_encoding,
        flags=entries["flags"].copy(),
        methods=entries["method"].copy(),
        crc32=entries["crc32"].copy(),
        stored_bytes=large["stored_bytes"],
        size_bytes=large["size_bytes"],
        external_attributes=entries["external_attributes"].copy(),
        offsets=large["offset"] + end.shift,
        comment=end.comment,
    )


class _End(NamedTuple):
    """Where the central directory is: `shift` bytes behind the position that the archive states.

    They are those of a program in front of the archive.
    """

    offset: int
    num_bytes: int
    shift: int
    comment: bytes


def _read_end(file: BinaryIO) -> _End:
    size_bytes = file.seek(0, os.SEEK_END)
    tail_offset = max(0, size_bytes - END.size - MAX_COMMENT_BYTES)
    file.seek(tail_offset)
    tail = file.read()
    start = len(tail) - END.size  # without a comment, which may hold the signature too
    if not tail.startswith(END_SIGNATURE, max(0, start)):
        start = tail.rfind(END_SIGNATURE)
    if start < 0 or start + END.size > len(tail):
        raise ValueError("File is not a zip file")
    *_, num_bytes, stated_offset, comment_bytes = END.unpack_from(tail, start)
    comment = tail[start + END.size :][:comment_bytes]
    end_offset = tail_offset + start
    zip64 = _read_zip64_end(file, end_offset)
    if zip64 is not None:
        num_bytes, stated_offset = zip64
        end_offset -= ZIP64_LOCATOR.size + ZIP64_END.size
    offset = end_offset - num_bytes
    if offset < 0 or stated_offset > offset:
        raise ValueError("Bad offset for central directory")
    if num_bytes > MAX_DIRECTORY_BYTES:
        raise ValueError(f"its central directory has {num_bytes} bytes, more than {MAX_DIRECTORY_BYTES} allowed")
    return _End(offset, num_bytes, offset - stated_offset, comment)


def _read_zip64_end(file: BinaryIO, end_offset: int) -> tuple[int, int] | None:
    """Size and stated offset of the central directory of an archive that is too large for the usual record."""
    offset = end_offset - ZIP64_LOCATOR.size - ZIP64_END.size
    if offset < 0:
        return None
    file.seek(offset)
    records = file.read(ZIP64_END.size + ZIP64_LOCATOR.size)
    signature, *_, num_bytes, stated_offset = ZIP64_END.unpack_from(records)
    locator_signature, disk, _, num_disks = ZIP64_LOCATOR.unpack_from(records, ZIP64_END.size)
    if locator_signature != ZIP64_LOCATOR_SIGNATURE or signature != ZIP64_END_SIGNATURE:
        return None
    if disk != 0 or num_disks > 1:
        raise ValueError("it is a part of an archive on several disks")
    return num_bytes, stated_offset


def _split_entries(content: bytes) -> tuple[NDArray[np.int64], list[str], dict[int, bytes]]:
    """The position of each entry, its name, and by row the names without an encoding."""
    starts, names = array("q"), []
    names_without_encoding: dict[int, bytes] = {}
    start = 0
    while start < len(content):
        if start + ENTRY.itemsize > len(content):
            raise ValueError("Truncated central directory")
        signature, name_bytes, extra_bytes, comment_bytes = LENGTHS.unpack_from(content, start)
        if signature != ENTRY_SIGNATURE:
            raise ValueError("Bad magic number for central directory")
        name_start = start + ENTRY.itemsize
        extra_start = name_start + name_bytes
        name = content[name_start:extra_start]
        if name.isascii() and b"\0" not in name:
            names.append(name.decode("ascii"))
        else:
            is_utf8 = bool(content[start + 9] << 8 & UTF8_FLAG)
            text, has_encoding = _decode_name(name, is_utf8, content[extra_start : extra_start + extra_bytes])
            if not has_encoding:
                names_without_encoding[len(names)] = name
            names.append(text)
        starts.append(start)
        start = extra_start + extra_bytes + comment_bytes
    return np.frombuffer(starts, np.int64), names, names_without_encoding


def _entries_at(starts: NDArray[np.int64], content: bytes) -> NDArray[np.void]:
    """The fields of fixed size, as an array of ENTRY with the shape (N,)."""
    if not len(starts):
        return np.empty(0, ENTRY)
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(content, np.uint8), ENTRY.itemsize)
    entries: NDArray[np.void] = windows[starts].view(ENTRY)[:, 0]
    return entries


def _decode_name(name: bytes, is_utf8: bool, extra: bytes) -> tuple[str, bool]:
    """The text of a name, and whether the archive states its encoding.

    Some programs write cp437, or put the name in UTF-8 into an extra field. Many others omit the flag and write UTF-8,
    which few names in another encoding resemble (图片 in GBK does).
    """
    if b"\0" in name:  # it ends there
        name = name.partition(b"\0")[0]
        return name.decode("utf-8" if is_utf8 else "cp437", "replace"), True
    extra_name = None if is_utf8 else _extra_field(extra, UNICODE_NAME_FIELD)
    version_and_crc = struct.pack("<BI", 1, isal_zlib.crc32(name))
    try:
        if extra_name is not None and extra_name.startswith(version_and_crc):  # else it belongs to another name
            return extra_name[len(version_and_crc) :].decode(), True
        return name.decode(), is_utf8
    except UnicodeDecodeError:
        return name.decode("cp437"), False


def _fill_in_zip64(large: dict[str, NDArray[np.int64]], starts: NDArray[np.int64], content: bytes) -> None:
    """Replace numbers that are in the extra field. One that is missing there stays as large as it claims to be."""
    in_field = np.logical_or.reduce([values == IN_ZIP64_FIELD for values in large.values()])
    for row in np.flatnonzero(in_field):
        _, name_bytes, extra_bytes, _ = LENGTHS.unpack_from(content, starts[row])
        extra_start = int(starts[row]) + ENTRY.itemsize + name_bytes
        field = _extra_field(content[extra_start : extra_start + extra_bytes], ZIP64_FIELD) or b""
        for values in large.values():
            if values[row] == IN_ZIP64_FIELD and len(field) >= 8:
                values[row] = min(int.from_bytes(field[:8], "little"), LARGEST)
                field = field[8:]


def _extra_field(extra: bytes, kind: int) -> bytes | None:
    """The content of the first extra field of that kind."""
    while len(extra) >= 4:
        field_kind, size = struct.unpack_from("<HH", extra)
        if field_kind == kind:
            return extra[4 : 4 + size]
        extra = extra[4 + size :]
    return None
