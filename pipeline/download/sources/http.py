"""Files of http(s) servers as origins."""

import contextlib
import logging
import re
import ssl
from collections.abc import Iterator
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from pipeline.core.errors import BoxlineError, root_cause
from pipeline.core.redaction import redact_message, redact_url
from pipeline.download.retry import RetryPolicy, TransientError
from pipeline.download.sources.base import (
    CHUNK_BYTES,
    NETWORK_ADVICE,
    ByteStream,
    ChangedError,
    FileVersion,
    html_error,
    http_error,
    parse_content_range,
    reject_html,
)

PASSING_ERRORS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, HTTPError)

# It would print whole addresses, secrets included, about a server's malformed headers.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class HttpSource:
    """What an http(s) address answers. `advice` ends the message where it answers with an error or a web page."""

    def __init__(self, url: str, patience: RetryPolicy, advice: str) -> None:
        self.shown = redact_url(url)
        self._url = url
        self._timeouts = (patience.connect_seconds, patience.read_timeout_seconds)
        self._advice = advice

    def look(self) -> FileVersion:
        """From the headers. Servers may refuse HEAD or answer it wrongly: then a GET is left unread."""
        with self._request("HEAD") as response:
            if response.status_code == 200:
                return _version(response)
        with self._request("GET") as response:
            self._require_file(response)
            return _version(response)

    @contextlib.contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[ByteStream]:
        """By Range and If-Range. A server that knows no ranges, or another version, answers from the start."""
        headers = {"Range": f"bytes={offset}-", "If-Range": validator} if offset else {}
        with self._request("GET", **headers) as response:
            if offset and response.status_code == 416:
                raise ChangedError(f"{self.shown} ends before byte {offset}, where it was to go on", NETWORK_ADVICE)
            self._require_file(response)
            start, version = 0, _version(response)
            if response.status_code == 206:
                # An encoded body counts other bytes.
                header = "" if _is_encoded(response) else response.headers.get("Content-Range", "")
                size_bytes = parse_content_range(self.shown, header, version.size_bytes, offset)
                start, version = offset, FileVersion(size_bytes, version.validator)
            # A length that is known is checked for all origins alike; others, such as an encoded body's, only here.
            response.raw.enforce_content_length = version.size_bytes is None
            chunks = iter(lambda: response.raw.read1(CHUNK_BYTES, decode_content=True), b"")
            yield ByteStream(
                version, start, chunks if start else reject_html(chunks, html_error(self.shown, self._advice))
            )

    @contextlib.contextmanager
    def _request(self, method: str, **headers: str | None) -> Iterator[Any]:
        """The answer behind redirects, its body unread. Explains errors of the network, also those while it is read."""
        try:
            with requests.request(
                method,
                self._url,
                headers={"Accept-Encoding": "identity", **headers},  # offsets count the file's own bytes
                stream=True,
                timeout=self._timeouts,
                hooks={"response": _leave_redirect_unread},
            ) as response:
                yield response
        except (requests.RequestException, HTTPError) as error:
            cause = root_cause(error)
            message = f"{self.shown} could not be read: {redact_message(cause)}"
            if isinstance(error, PASSING_ERRORS) and not isinstance(cause, ssl.SSLCertVerificationError):
                raise TransientError(message, NETWORK_ADVICE) from None
            raise BoxlineError(f"{message.rstrip('.')}. {self._advice}") from None

    def _require_file(self, response: Any) -> None:
        if response.status_code not in (200, 206):
            retry_after = response.headers.get("Retry-After")
            raise http_error(self.shown, response.status_code, "", self._advice, retry_after)
        if response.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise html_error(self.shown, self._advice)


def _leave_redirect_unread(response: Any, **_: Any) -> None:
    """Requests would read the body of a redirect into memory, however long it is."""
    if response.is_redirect:
        response.close()


def _version(response: Any) -> FileVersion:
    """By the headers, with the length of the body. That of an encoded body is not the file's; it has no offsets."""
    if _is_encoded(response):
        return FileVersion(None, None)
    etag = response.headers.get("ETag", "")
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
    length = response.headers.get("Content-Length", "")
    return FileVersion(int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None, validator)


def _is_encoded(response: Any) -> bool:
    return response.headers.get("Content-Encoding", "").lower() not in ("", "identity")
