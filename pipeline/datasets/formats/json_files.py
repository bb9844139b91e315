"""JSON from outside, of any usual encoding, whose entries are decoded one by one so that each can be refused alone."""

import re
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.core.errors import BoxlineError
from pipeline.datasets.formats.coco import BYTE_ORDER_MARK, describe_failure

HEAD_BYTES = 64 << 10
"""How much of a file shows what it is."""

MAX_EXAMINED_FILES = 8

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

# A string, or a number that Python and JavaScript write and JSON does not have.
STRING_OR_NOT_FINITE = re.compile(rb'"(?:[^"\\]|\\.)*"?|-?\b(?:NaN|Infinity)\b', re.DOTALL)

T = TypeVar("T")

AnyJson: Any = dict[str, Raw] | list[Raw] | str | float | bool | None
"""Any content, of which only the outermost level is decoded."""


def decode_json(content: bytes | Raw, kind: type[T]) -> T:
    """Decode a file, or an entry of one. NaN and infinite numbers become null.

    Raises:
        BoxlineError: if the content is not JSON of that type. The message states what is wrong, without the name of the
            file.

    """
    content = _as_utf8(bytes(content)).removeprefix(BYTE_ORDER_MARK)
    try:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError:
            finite = STRING_OR_NOT_FINITE.sub(_null_if_not_finite, content)
            if finite == content:
                raise
            return msgspec.json.decode(finite, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BoxlineError(describe_failure(content, error)) from None


def json_files_like(tree: FileTree, pattern: re.Pattern[bytes]) -> tuple[list[str], int, int]:
    """Look at the beginning of a few JSON files.

    Returns:
        All JSON files, how many were looked at, and how many of these match the pattern.

    """
    files = with_suffix(tree.names(), ".json")
    examined = files[:: len(files) // MAX_EXAMINED_FILES + 1]
    return files, len(examined), sum(pattern.match(_head(tree, file)) is not None for file in examined)


def _head(tree: FileTree, file: str) -> bytes:
    try:
        head = tree.read_head(file, HEAD_BYTES)
    except BoxlineError:
        return b""
    return _as_utf8(head)


def _as_utf8(content: bytes) -> bytes:
    return content.decode("utf-16", "replace").encode() if content.startswith(UTF16_MARKS) else content


def _null_if_not_finite(match: re.Match[bytes]) -> bytes:
    return match[0] if match[0].startswith(b'"') else b"null"
