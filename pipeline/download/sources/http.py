"""Files of http(s) servers."""

import contextlib
import logging
import re
import ssl
from collections.abc import Iterator
from email.message import Message
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from pipeline.archives.tar_archive import HEAD_BYTES
from pipeline.core.errors import BoxlineError, root_cause
from pipeline.core.file_names import COMMON_MAX_NAME_BYTES, cut_to_bytes
from pipeline.core.redaction import redact_message, redact_url
from pipeline.download.retry import RetryPolicy, TransientError
from pipeline.download.sources.base import (
    CHUNK_BYTES,
    NETWORK_ADVICE,
    ByteStream,
    ChangedError,
    FileSource,
    FileVersion,
    html_error,
    http_error,
    parse_content_range,
    reject_html,
)

TRANSIENT_ERRORS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, HTTPError)

# urllib3 logs complete URLs, secrets included, when a server sends malformed headers.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class HttpSource(FileSource):
    """The file at an http(s) URL. `advice` ends the messages about error statuses and web pages."""

    def __init__(self, url: str, retry_policy: RetryPolicy, advice: str) -> None:
        self.display_name = redact_url(url)
        self._url = url
        self._timeouts = (retry_policy.connect_timeout_seconds, retry_policy.read_timeout_seconds)
        self._advice = advice

    def stat(self) -> FileVersion:
        """Return the version from the response headers.

        Some servers reject HEAD or implement it wrongly; then the headers are those of a GET whose body is not read.
        """
        with self._request("HEAD") as response:
            if response.status_code == 200:
                return _version(response)
        with self._request("GET") as response:
            self._require_file(response)
            return _version(response)

    def peek(self) -> tuple[str | None, bytes]:
        """Return the name that the server gives the file, if any, and the first HEAD_BYTES of the file."""
        with self._request("GET") as response:
            self._require_file(response)
            message = Message()
            message["Content-Disposition"] = response.headers.get("Content-Disposition", "")
            return message.get_filename(), response.raw.read(HEAD_BYTES, decode_content=True)

    @contextlib.contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[ByteStream]:
        """Stream the file with Range and If-Range.

        A server that does not support ranges, or has another version, sends the file from its start.
        """
        headers = {"Range": f"bytes={offset}-", "If-Range": validator} if offset else {}
        with self._request("GET", **headers) as response:
            if offset and response.status_code == 416:
                raise ChangedError(
                    f"{self.display_name} has fewer than the {offset} bytes already received", NETWORK_ADVICE
                )
            self._require_file(response)
            start, version = 0, _version(response)
            if response.status_code == 206:
                # The offsets in an encoded body do not count bytes of the file.
                header = "" if _is_encoded(response) else response.headers.get("Content-Range", "")
                size_bytes = parse_content_range(self.display_name, header, version.size_bytes, offset)
                start, version = offset, FileVersion(size_bytes, version.validator)
            # The transfer checks a known length for all sources. urllib3 has to check other lengths, such as that of an
            # encoded body.
            response.raw.enforce_content_length = version.size_bytes is None
            chunks = iter(lambda: response.raw.read1(CHUNK_BYTES, decode_content=True), b"")
            if start == 0:
                chunks = reject_html(chunks, html_error(self.display_name, self._advice))
            yield ByteStream(version, start, chunks)

    @contextlib.contextmanager
    def _request(self, method: str, **headers: str | None) -> Iterator[Any]:
        """Yield the final response after redirects, with its body unread. Converts network errors, also of the body."""
        try:
            with requests.request(
                method,
                self._url,
                headers={"Accept-Encoding": "identity", **headers},  # offsets must count the bytes of the file itself
                stream=True,
                timeout=self._timeouts,
                hooks={"response": _close_redirect},
            ) as response:
                yield response
        except (requests.RequestException, HTTPError) as error:
            cause = root_cause(error)
            message = f"{self.display_name} could not be read: {redact_message(cause)}"
            if isinstance(error, TRANSIENT_ERRORS) and not isinstance(cause, ssl.SSLCertVerificationError):
                raise TransientError(message, NETWORK_ADVICE) from None
            raise BoxlineError(f"{message.rstrip('.')}. {self._advice}") from None

    def _require_file(self, response: Any) -> None:
        if response.status_code not in (200, 206):
            retry_after = response.headers.get("Retry-After")
            raise http_error(self.display_name, response.status_code, "", self._advice, retry_after)
        if response.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise html_error(self.display_name, self._advice)


def file_name(path: str) -> str:
    r"""The last part of a path from outside, as the name of a local file; empty if there is none.

    >>> file_name("/data/set.zip"), file_name(r"..\.set.zip"), file_name("/data/")
    ('set.zip', 'set.zip', '')
    """
    name = re.split(r"[\\/]", path)[-1].lstrip(".")
    return cut_to_bytes("".join(filter(str.isprintable, name))[::-1], COMMON_MAX_NAME_BYTES // 2)[::-1]


def _close_redirect(response: Any, **_: Any) -> None:
    """Close a redirect before `requests` reads its body into memory, whatever its length."""
    if response.is_redirect:
        response.close()


def _version(response: Any) -> FileVersion:
    """The version in the headers, with the length of the body as size.

    The length of an encoded body is not the size of the file, and its offsets are of no use.
    """
    if _is_encoded(response):
        return FileVersion(None, None)
    etag = response.headers.get("ETag", "")
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
    length = response.headers.get("Content-Length", "")
    return FileVersion(int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None, validator)


def _is_encoded(response: Any) -> bool:
    return response.headers.get("Content-Encoding", "").lower() not in ("", "identity")
