"""Downloads of single files: streamed from their source, resumed, and verified.

Three levels: `stream_file` receives the bytes that a partial file lacks, with retries; `complete_file` also verifies
size and checksum; `download_file` and `download_url` are the entry points for one file without resuming. Whole folders
that resume over runs are in `sync`.
"""

import logging
import threading
from pathlib import Path

import msgspec

from pipeline.core.atomic_files import atomic_write
from pipeline.core.errors import BoxlineError
from pipeline.core.progress import byte_bar
from pipeline.core.thread_pool import CancelledError
from pipeline.download.manifest import Asset
from pipeline.download.partial_file import PartialFile
from pipeline.download.retry import DEFAULT_RETRY, RetryPolicy, TransientError, retry
from pipeline.download.sources.base import (
    NETWORK_ADVICE,
    ChangedError,
    FileSource,
    FileVersion,
    PackedSource,
    Source,
)
from pipeline.download.sources.http import HttpSource
from pipeline.download.sources.resolve import resolve_sources

logger = logging.getLogger(__name__)

MISMATCH_ADVICE = (
    "The publisher changed the file, or the download is corrupt: run the command again, or set `source` to a mirror."
)


class DownloadedFile(msgspec.Struct, frozen=True):
    """A complete file, as download reports record it.

    Attributes:
        origin: the address it was downloaded from, without secrets.
        size_bytes: its size.
        md5: its MD5 sum in hexadecimal digits.
        sha256: its SHA-256 sum in hexadecimal digits.
        validator: the validator of its version at the source, see `FileVersion`.

    """

    origin: str
    size_bytes: int
    md5: str
    sha256: str
    validator: str | None

    @property
    def version(self) -> FileVersion:
        """The version at the time of the download."""
        return FileVersion(self.size_bytes, self.validator)


def download_file(asset: Asset, base_url: str, folder: Path, retry_policy: RetryPolicy = DEFAULT_RETRY) -> Path:
    """Download one file atomically to `folder`/`asset.path`.

    Args:
        asset: the file.
        base_url: where it is, see `resolve_sources`.
        folder: the folder to write to.
        retry_policy: how long to wait and how often to retry.

    Returns:
        The path of the file.

    Raises:
        BoxlineError: if the source is missing, returns an error or a web page, or keeps failing, or if the file does
            not match size and checksum of the asset.

    """
    target = folder / asset.path
    [source] = resolve_sources(base_url, [asset], retry_policy)
    with atomic_write(target) as temporary_path:
        scratch = temporary_path.with_suffix(".scratch")
        complete_file(asset, source, PartialFile(temporary_path), scratch, retry_policy)
    return target


def download_url(url: str, target: Path, retry_policy: RetryPolicy, advice: str, max_bytes: int) -> None:
    """Download the file at an http(s) URL to `target`.

    Args:
        url: the URL.
        target: the path to write to.
        retry_policy: how long to wait and how often to retry.
        advice: the sentence that ends the messages about error statuses and web pages.
        max_bytes: the largest allowed size; never more is written.

    Raises:
        BoxlineError: if the server returns an error or a web page, keeps failing, or the file is larger than allowed.

    """
    stream_file(HttpSource(url, retry_policy, advice), PartialFile(target), retry_policy, max_bytes=max_bytes)


def complete_file(
    asset: Asset,
    source: Source,
    partial_file: PartialFile,
    scratch: Path,
    retry_policy: RetryPolicy,
    stop: threading.Event | None = None,
) -> DownloadedFile:
    """Download the missing bytes of `partial_file` and verify the complete file.

    `scratch` is a path for what a source receives on the way to an archive that is made on this machine.

    A file that was assembled from several responses or runs and does not match is downloaded once more from the start.
    A file that does not match is deleted.

    Raises:
        BoxlineError: if the download fails or the file does not match size and checksum of the asset.
        CancelledError: soon after `stop` is set.

    """
    if isinstance(source, PackedSource):
        if not partial_file.is_complete:
            event = stop or threading.Event()
            version = retry(source.stat, retry_policy, event)
            partial_file.write_complete(
                source.display_name, version, lambda target: source.write_zip(target, scratch, event)
            )
        return _downloaded_file(source, partial_file)
    stream_file(source, partial_file, retry_policy, stop, asset.size_bytes)
    if not partial_file.is_from_one_stream and _mismatch(asset, source, partial_file):
        logger.info("%s: the parts of the file do not fit together; downloading it again", source.display_name)
        partial_file.clear()
        stream_file(source, partial_file, retry_policy, stop, asset.size_bytes)
    if mismatch := _mismatch(asset, source, partial_file):
        partial_file.clear()
        raise BoxlineError(mismatch)
    return _downloaded_file(source, partial_file)


def stream_file(
    source: FileSource,
    partial_file: PartialFile,
    retry_policy: RetryPolicy,
    stop: threading.Event | None = None,
    expected_bytes: int | None = None,
    max_bytes: int | None = None,
) -> None:
    """Append the missing bytes of `source` to `partial_file`, with retries.

    Bytes received before an error stay in `partial_file`.

    Args:
        source: the file to download.
        partial_file: what was received so far.
        retry_policy: how long to wait and how often to retry.
        stop: an event that cancels the transfer.
        expected_bytes: the size that the publisher states, if any.
        max_bytes: the largest allowed size, if there is a limit.

    Raises:
        BoxlineError: if the source returns an error or keeps failing, or has another size than `expected_bytes`, or is
            larger than `max_bytes`.
        CancelledError: soon after `stop` is set.

    """
    stop = stop or threading.Event()

    def attempt() -> None:
        if not partial_file.is_complete:
            _stream_once(source, partial_file, stop, expected_bytes, max_bytes)

    retry(attempt, retry_policy, stop, lambda: partial_file.peak_size_bytes)


def _stream_once(
    source: FileSource,
    partial_file: PartialFile,
    stop: threading.Event,
    expected_bytes: int | None,
    max_bytes: int | None,
) -> None:
    """Send one request. Raises TransientError if bytes are still missing afterwards."""
    name = source.display_name
    try:
        with source.open(partial_file.resume_offset, partial_file.version.validator) as stream:
            announced_bytes = stream.version.size_bytes
            if stream.offset > 0 and partial_file.version.conflicts_with(stream.version):
                raise ChangedError(f"{name} changed during the download", NETWORK_ADVICE)
            _check_size(name, announced_bytes, expected_bytes, max_bytes)
            if stream.offset == 0:
                partial_file.start(name, stream.version)
            else:
                partial_file.is_from_one_stream = False
            limit_bytes = next((n for n in (announced_bytes, expected_bytes, max_bytes) if n is not None), None)
            with byte_bar(Path(name).name, announced_bytes or 0, stream.offset) as progress:
                for chunk in stream.chunks:
                    if stop.is_set():
                        raise CancelledError
                    if limit_bytes is not None and partial_file.size_bytes + len(chunk) > limit_bytes:
                        raise _excess_error(name, limit_bytes, announced_bytes)
                    partial_file.append(chunk)
                    progress.update(len(chunk))
    except ChangedError:
        partial_file.clear()
        raise
    total_bytes = partial_file.version.size_bytes if announced_bytes is None else announced_bytes
    if total_bytes is not None and partial_file.size_bytes < total_bytes:
        raise TransientError(
            f"{name} was interrupted after {partial_file.size_bytes} of {total_bytes} bytes", NETWORK_ADVICE
        )
    partial_file.mark_complete()


def _check_size(name: str, announced_bytes: int | None, expected_bytes: int | None, max_bytes: int | None) -> None:
    if announced_bytes is None:
        return
    if expected_bytes is not None and announced_bytes != expected_bytes:
        raise BoxlineError(_size_mismatch(name, announced_bytes, expected_bytes))
    if max_bytes is not None and announced_bytes > max_bytes:
        raise BoxlineError(f"{name} has {announced_bytes} bytes, more than {max_bytes} allowed.")


def _excess_error(name: str, limit_bytes: int, announced_bytes: int | None) -> TransientError | BoxlineError:
    if announced_bytes is not None:
        return ChangedError(f"{name} sent more than the {limit_bytes} bytes that it announced", NETWORK_ADVICE)
    return BoxlineError(f"{name} sent more than the {limit_bytes} bytes allowed.")


def _size_mismatch(name: str, received_bytes: int, expected_bytes: int) -> str:
    return f"{name} has {received_bytes} bytes, expected {expected_bytes}. {MISMATCH_ADVICE}"


def _mismatch(asset: Asset, source: FileSource, partial_file: PartialFile) -> str | None:
    """The error message if the file does not match size or checksum of the asset, else None."""
    if asset.size_bytes is not None and partial_file.size_bytes != asset.size_bytes:
        return _size_mismatch(source.display_name, partial_file.size_bytes, asset.size_bytes)
    if asset.checksum is not None:
        algorithm, _, expected = asset.checksum.partition(":")
        received = partial_file.checksums.hexdigest(algorithm)
        if received != expected:
            return f"{source.display_name} has {algorithm} {received}, expected {expected}. {MISMATCH_ADVICE}"
    return None


def _downloaded_file(source: Source, partial_file: PartialFile) -> DownloadedFile:
    return DownloadedFile(
        source.display_name,
        partial_file.size_bytes,
        partial_file.checksums.hexdigest("md5"),
        partial_file.checksums.hexdigest("sha256"),
        partial_file.version.validator,
    )
