"""What all origins have in common: a version to tell, bytes from an offset on, and words for what goes wrong."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.client import responses
from typing import Protocol

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from pipeline.core.errors import BoxlineError
from pipeline.download.retry import TransientError

CHUNK_BYTES = 1 << 18
NETWORK_ADVICE = "Check the network, then run it again."
BUSY_STATUSES = (408, 429)
PAGE_STARTS = (b"<!doctype html", b"<html")
HEAD_BYTES = 64
"""Enough of a body to know a web page by, with the blanks that may stand before it."""


@dataclass(frozen=True)
class FileVersion:
    """The state of a file at its origin. None is what the origin does not tell.

    `validator` differs when the file does: a strong ETag, a Last-Modified date, or size and time of a file on disk.
    """

    size_bytes: int | None
    validator: str | None

    def contradicts(self, other: "FileVersion") -> bool:
        """Whether both tell something, and not the same."""
        sizes, validators = {self.size_bytes, other.size_bytes}, {self.validator, other.validator}
        return len(sizes - {None}) > 1 or len(validators - {None}) > 1


@dataclass(frozen=True)
class ByteStream:
    """The bytes of a file from `offset` on: the one that was asked for, or 0 where the origin starts over."""

    version: FileVersion
    offset: int
    chunks: Iterator[bytes]


class FileSource(Protocol):
    """One file somewhere. What may pass is a TransientError, anything else that a user can put right a BoxlineError."""

    shown: str
    """The address for messages and reports: without user, password and query."""

    def look(self) -> FileVersion:
        """The present version, asked for without a transfer."""

    def open(self, offset: int, validator: str | None) -> AbstractContextManager[ByteStream]:
        """The file from `offset` on, if its validator is still this one, and otherwise from its start.

        Raises ChangedError where what it answers does not fit.
        """


class ChangedError(TransientError):
    """What has come so far is of no use any more."""


def http_error(
    shown: str, status: int, reason: str, advice: str, retry_after: str | None
) -> TransientError | BoxlineError:
    """What to raise for an HTTP status other than success. A busy or broken server may have recovered later."""
    message = f"{shown} answered {status} {reason or responses.get(status, '')}".rstrip()
    if status in BUSY_STATUSES or status >= 500:
        return TransientError(message, "The server is busy or broken; run it again later.", _seconds(retry_after))
    return BoxlineError(f"{message}. {advice}")


def reject_html(chunks: Iterator[bytes], page: BoxlineError) -> Iterator[bytes]:
    """The chunks of a file from its start, which is no web page: what portals and consoles answer to everything.

    What was received before a cut is not waited for and not lost. Raises `page` where it is one.
    """
    head = b""
    while len(head) < HEAD_BYTES and (chunk := next(chunks, b"")):
        head += chunk
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(PAGE_STARTS):
        raise page
    yield head
    yield from chunks


def html_error(shown: str, advice: str) -> BoxlineError:
    """What to raise for a page in place of a file."""
    return BoxlineError(f"{shown} is a web page, not a file. {advice}")


def parse_content_range(shown: str, content_range: str, length_bytes: int | None, offset: int) -> int:
    """The size in bytes of the whole file by the Content-Range of an answer.

    Raises ChangedError unless the answer begins at `offset`, is as long as it says and tells the whole size.
    """
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", content_range.strip())
    if match is None or int(match[1]) != offset or length_bytes not in (None, int(match[2]) - offset + 1):
        raise ChangedError(f"{shown} answered another part than from byte {offset} on", NETWORK_ADVICE)
    return int(match[3])


def _seconds(retry_after: str | None) -> float:
    """Seconds or a date, or 0 for what is neither."""
    try:
        return Retry().parse_retry_after(retry_after or "0")
    except (InvalidHeader, ValueError, OverflowError):
        return 0
