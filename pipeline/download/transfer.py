"""Files brought here from their origins, checked on the way."""

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
from pipeline.download.sources.base import NETWORK_ADVICE, ChangedError, FileSource
from pipeline.download.sources.http import HttpSource
from pipeline.download.sources.resolve import resolve_sources
from pipeline.download.sources.unpacked import UnpackedFolder

logger = logging.getLogger(__name__)

DAMAGED_ADVICE = "The publisher's file changed or arrived damaged: run it again, or name a mirror under `source`."


class DownloadedFile(msgspec.Struct, frozen=True):
    """A file that came whole: from where, what it is, and by what its origin told it from other versions then."""

    origin: str
    size_bytes: int
    md5: str
    sha256: str
    validator: str | None


def download_file(asset: Asset, root: str, folder: Path, patience: RetryPolicy = DEFAULT_RETRY) -> Path:
    """Bring `root`/`asset.path` to `folder`/`asset.path`, whole or not at all. `root` is what `resolve_sources` takes.

    Raises BoxlineError where the source is missing, answers with an error or a web page, fails again and again, or does
    not match the size and digest of the asset.
    """
    target = folder / asset.path
    [origin] = resolve_sources(root, [asset], patience)
    with atomic_write(target) as partial:
        bring(asset, origin, PartialFile(partial), patience)
    return target


def download_url(url: str, target: Path, patience: RetryPolicy, advice: str, max_bytes: int) -> None:
    """Write what an http(s) address answers to `target`.

    Raises BoxlineError where it answers with an error or a web page, which ends with `advice`, where it fails again and
    again, and where it has more than `max_bytes`, of which no more is written.
    """
    receive(HttpSource(url, patience, advice), PartialFile(target), patience, max_bytes=max_bytes)


def bring(
    asset: Asset,
    origin: FileSource | UnpackedFolder,
    part: PartialFile,
    patience: RetryPolicy,
    stop: threading.Event | None = None,
) -> DownloadedFile:
    """Complete `part` and compare it with what the publisher says; what does not match is thrown away.

    Bytes of former runs or of several answers that do not match are fetched once more, from the start.
    """
    if isinstance(origin, UnpackedFolder):
        if not part.is_whole:
            part.fill(origin.shown, origin.look(), origin.pack)
        return _received(origin, part)
    receive(origin, part, patience, stop, asset.size_bytes)
    if not part.is_fresh and _complaint(asset, origin, part):
        logger.info("%s came in pieces that do not fit together; starting over", origin.shown)
        part.clear()
        receive(origin, part, patience, stop, asset.size_bytes)
    if complaint := _complaint(asset, origin, part):
        part.clear()
        raise BoxlineError(complaint)
    return _received(origin, part)


def receive(
    origin: FileSource,
    part: PartialFile,
    patience: RetryPolicy,
    stop: threading.Event | None = None,
    expected_bytes: int | None = None,
    max_bytes: int | None = None,
) -> None:
    """Ask `origin` for what `part` lacks, again and again until all of it is there.

    Raises BoxlineError where the origin refuses or keeps failing, has another size than `expected_bytes`, or has more
    than `max_bytes`; CancelledError soon after `stop` is set. What has come until then stays in `part`.
    """
    stop = stop or threading.Event()

    def ask() -> None:
        if not part.is_whole:
            _ask(origin, part, stop, expected_bytes, max_bytes)

    retry(ask, patience, stop, lambda: part.furthest_bytes)


def _ask(
    origin: FileSource, part: PartialFile, stop: threading.Event, expected_bytes: int | None, max_bytes: int | None
) -> None:
    """One request. Raises TransientError where it does not bring all that is missing."""
    try:
        with origin.open(part.offset, part.version.validator) as answer:
            announced_bytes = answer.version.size_bytes
            if answer.offset > 0 and part.version.contradicts(answer.version):
                raise ChangedError(f"{origin.shown} changed while it was downloaded", NETWORK_ADVICE)
            _require_size(origin, announced_bytes, expected_bytes, max_bytes)
            if answer.offset == 0:
                part.begin(origin.shown, answer.version)
            else:
                part.is_fresh = False
            limit_bytes = next((n for n in (announced_bytes, expected_bytes, max_bytes) if n is not None), None)
            with byte_bar(Path(origin.shown).name, announced_bytes or 0, answer.offset) as progress:
                for chunk in answer.chunks:
                    if stop.is_set():
                        raise CancelledError
                    if limit_bytes is not None and part.size_bytes + len(chunk) > limit_bytes:
                        raise _too_long(origin, limit_bytes, announced_bytes)
                    part.append(chunk)
                    progress.update(len(chunk))
    except ChangedError:
        part.clear()
        raise
    total_bytes = part.version.size_bytes if announced_bytes is None else announced_bytes
    if total_bytes is not None and part.size_bytes < total_bytes:
        raise TransientError(f"{origin.shown} broke off after {part.size_bytes} of {total_bytes} bytes", NETWORK_ADVICE)
    part.finish()


def _require_size(
    origin: FileSource, announced_bytes: int | None, expected_bytes: int | None, max_bytes: int | None
) -> None:
    if announced_bytes is None:
        return
    if expected_bytes is not None and announced_bytes != expected_bytes:
        raise BoxlineError(_other_size(origin, announced_bytes, expected_bytes))
    if max_bytes is not None and announced_bytes > max_bytes:
        raise BoxlineError(f"{origin.shown} has {announced_bytes} bytes, more than {max_bytes} allowed.")


def _too_long(origin: FileSource, limit_bytes: int, announced_bytes: int | None) -> TransientError | BoxlineError:
    message = f"{origin.shown} sent more than {limit_bytes} bytes"
    if announced_bytes is not None:
        return ChangedError(f"{message}, which it had announced", NETWORK_ADVICE)
    return BoxlineError(f"{message}, which are all that is taken.")


def _other_size(origin: FileSource, received_bytes: int, expected_bytes: int) -> str:
    return f"{origin.shown} has {received_bytes} bytes, expected {expected_bytes}. {DAMAGED_ADVICE}"


def _complaint(asset: Asset, origin: FileSource, part: PartialFile) -> str | None:
    """What is wrong with a file that has come, if anything."""
    if asset.size_bytes is not None and part.size_bytes != asset.size_bytes:
        return _other_size(origin, part.size_bytes, asset.size_bytes)
    if asset.digest is not None:
        name, _, expected = asset.digest.partition(":")
        if (received := part.digests.get(name)) != expected:
            return f"{origin.shown} has {name} {received}, expected {expected}. {DAMAGED_ADVICE}"
    return None


def _received(origin: FileSource | UnpackedFolder, part: PartialFile) -> DownloadedFile:
    md5, sha256 = part.digests.get("md5"), part.digests.get("sha256")
    return DownloadedFile(origin.shown, part.size_bytes, md5, sha256, part.version.validator)
