"""The interface of a source, and the errors that all sources share."""

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.client import responses
from pathlib import Path

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from pipeline.core.errors import BoxlineError
from pipeline.download.retry import TransientError

CHUNK_BYTES = 1 << 18
NETWORK_ADVICE = "Check the network, then run the command again."
RETRYABLE_STATUSES = (408, 429)
"""Client errors that may be gone at the next attempt. So may every server error, 500 and above."""

HTML_PREFIXES = (b"<!doctype html", b"<html")
HTML_DETECTION_BYTES = 64
"""Bytes of a body that suffice to recognize HTML, including white space in front of it."""


@dataclass(frozen=True)
class FileVersion:
    """The version of a file at its source, as far as the source reports it.

    Attributes:
        size_bytes: the size of the complete file, or None if unknown.
        validator: a text that differs whenever the file does: a strong ETag, a Last-Modified date, or size and
            modification time of a local file. None if the source has none.

    """

    size_bytes: int | None
    validator: str | None

    def conflicts_with(self, other: "FileVersion") -> bool:
        """Return whether both report a size or both report a validator, and these differ."""
        sizes, validators = {self.size_bytes, other.size_bytes}, {self.validator, other.validator}
        return len(sizes - {None}) > 1 or len(validators - {None}) > 1


@dataclass(frozen=True)
class ByteStream:
    """The bytes of a file from `offset` to its end.

    Attributes:
        version: the version of the file that the bytes belong to.
        offset: the position of the first byte: the requested offset, or 0 if the source sends the file from its start.
        chunks: the bytes.

    """

    version: FileVersion
    offset: int
    chunks: Iterator[bytes]


class FileSource(ABC):
    """Interface for one file at a source.

    Methods raise TransientError for failures that may be gone at the next attempt, and BoxlineError for those that a
    user has to resolve.
    """

    display_name: str
    """The address for messages and reports, without user, password and query."""

    @abstractmethod
    def stat(self) -> FileVersion:
        """Return the current version without transferring the file."""

    @abstractmethod
    def open(self, offset: int, validator: str | None) -> AbstractContextManager[ByteStream]:
        """Stream the file from `offset` if it still has that validator, else from its start.

        Raises:
            ChangedError: if the source sends a range that does not fit.

        """


class PackedSource(ABC):
    """Interface for an archive that is made on this machine. Equal files at the source make an identical archive."""

    display_name: str
    """The address of what is packed, without user, password and query."""

    @abstractmethod
    def stat(self) -> FileVersion:
        """Return the current version of what is packed. The size of the archive is unknown until it is written."""

    @abstractmethod
    def content_bytes(self) -> int:
        """Return the number of bytes that packing writes to the disk, as far as it is known."""

    @abstractmethod
    def write_zip(self, target: Path, scratch: Path, stop: threading.Event) -> None:
        """Write the archive.

        Args:
            target: the file to write.
            scratch: a path for a file or folder that survives an interruption and is deleted when all is complete.
            stop: an event that cancels the work.

        Raises:
            BoxlineError: if the source cannot be read.
            CancelledError: soon after `stop` is set.

        """


Source = FileSource | PackedSource


class ChangedError(TransientError):
    """The bytes received so far are useless: the file at the source changed, or the transfer corrupted them."""


def http_error(
    display_name: str, status: int, reason: str, advice: str, retry_after: str | None
) -> TransientError | BoxlineError:
    """Return the error to raise for an HTTP status other than success.

    Args:
        display_name: the address for the message.
        status: the HTTP status code.
        reason: the error code of the service, or empty for the standard phrase of the status.
        advice: the sentence that ends the message if a retry would not help.
        retry_after: the Retry-After header, if any.

    """
    message = f"{display_name} returned {status} {reason or responses.get(status, '')}".rstrip()
    if status in RETRYABLE_STATUSES or status >= 500:
        advice = "The server is busy or failing; run the command again later."
        return TransientError(message, advice, _parse_retry_after(retry_after))
    return BoxlineError(f"{message}. {advice}")


def reject_html(chunks: Iterator[bytes], error: BoxlineError) -> Iterator[bytes]:
    """Yield the chunks of a file from its start, unless it is HTML.

    Captive portals and web consoles return a page with status 200 for any address. Bytes received before an
    interruption are neither delayed nor lost.

    Raises:
        BoxlineError: `error`, if the first bytes are those of an HTML page.

    """
    head = b""
    while len(head) < HTML_DETECTION_BYTES and (chunk := next(chunks, b"")):
        head += chunk
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(HTML_PREFIXES):
        raise error
    yield head
    yield from chunks


def html_error(display_name: str, advice: str) -> BoxlineError:
    """Return the error to raise for an HTML page in place of a file."""
    return BoxlineError(f"{display_name} is a web page, not a file. {advice}")


def parse_content_range(display_name: str, content_range: str, length_bytes: int | None, offset: int) -> int:
    """Return the size in bytes of the complete file, as a Content-Range header states it.

    Raises:
        ChangedError: if the range does not start at `offset`, contradicts the length of the body, or does not state
            the size of the complete file.

    """
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", content_range.strip())
    if match is None or int(match[1]) != offset or length_bytes not in (None, int(match[2]) - offset + 1):
        raise ChangedError(f"{display_name} returned another range than bytes {offset}- as requested", NETWORK_ADVICE)
    return int(match[3])


def _parse_retry_after(header: str | None) -> float:
    """Seconds until the time in the header, which holds seconds or a date; 0 for anything else."""
    try:
        return Retry().parse_retry_after(header or "0")
    except (InvalidHeader, ValueError, OverflowError):
        return 0
