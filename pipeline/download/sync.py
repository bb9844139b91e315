"""A folder of downloads, renewed as a whole: what has come outlives a kill, and the former folder stays until the end.

A state folder holds what has come so far:
files/     the files under their final names; in the end this becomes the new folder
records/   per file, which version at which origin its bytes are of
lock       held by the process that works here
"""

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from pipeline.core.atomic_files import replace_directory, restore_directory, write_json
from pipeline.core.errors import BoxlineError
from pipeline.core.thread_pool import map_threaded
from pipeline.download.checksums import Digests
from pipeline.download.manifest import Asset
from pipeline.download.partial_file import PartialFile
from pipeline.download.retry import DEFAULT_RETRY, RetryPolicy, retry
from pipeline.download.sources.base import FileSource, FileVersion
from pipeline.download.sources.resolve import resolve_sources
from pipeline.download.sources.unpacked import UnpackedFolder
from pipeline.download.transfer import DownloadedFile, bring

logger = logging.getLogger(__name__)

FILES_AT_ONCE = 4


class Report(msgspec.Struct, frozen=True):
    """What a folder of downloads holds, by path."""

    files: dict[str, DownloadedFile]


@contextlib.contextmanager
def exclusive_lock(state: Path, work: str) -> Iterator[None]:
    """Only one process at a time works in `state`. Another one waits, and says once that it waits for that `work`.

    The system takes the lock back from a process that was killed.
    """
    state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(state / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("waiting for another %s to end", work)
        lock.acquire()
    try:
        yield
    finally:
        Path(lock.lock_file).unlink()
        lock.release()


def sync_files(
    assets: Sequence[Asset], root: str, state: Path, out: Path, report: Path, patience: RetryPolicy = DEFAULT_RETRY
) -> dict[str, DownloadedFile]:
    """Bring all assets below `root` to `state`, several at once. Only one process does so; see `exclusive_lock`.

    What a former run left in `state` is gone on with. A file of `out` is taken over where its origin still has the
    version of `report` and its digest is the one there. Raises BoxlineError as `bring` does, and where the disk has too
    little room, before anything is written; what has come until then stays.
    """
    restore_directory(out)
    _drop_strangers(state / "files", {asset.path for asset in assets})
    previous = _read(report)
    downloads = [
        _Download(asset, origin, _part(state, asset), out / asset.path, previous.get(asset.path))
        for asset, origin in zip(assets, resolve_sources(root, assets, patience), strict=True)
    ]
    versions = map_threaded(
        lambda download, stop: retry(download.origin.look, patience, stop), downloads, FILES_AT_ONCE
    )
    plan = list(zip(downloads, versions, strict=True))
    for download, version in plan:
        download.forget_others(version)
    _require_room(state, sum(download.missing_bytes(version) for download, version in plan))
    received = map_threaded(lambda step, stop: step[0].run(step[1], patience, stop), plan, FILES_AT_ONCE)
    return {asset.path: file for asset, file in zip(assets, received, strict=True)}


def install(received: Mapping[str, DownloadedFile], state: Path, out: Path, report: Path) -> None:
    """Make what was collected the new `out`, and say in `report` what it is.

    The report comes first: a kill between the two then costs nothing, since all files are still in `state`.
    """
    write_json(report, msgspec.to_builtins(Report(dict(received))))
    replace_directory(out, state / "files")
    shutil.rmtree(state / "records")


def changed_since(report: Path, assets: Sequence[Asset], root: str, patience: RetryPolicy = DEFAULT_RETRY) -> bool:
    """Whether a file below `root` is another one than a former run reported, as far as its origin tells.

    Without a report there was no download that could be outdated.
    """
    previous = _read(report)
    if not previous:
        return False
    origins = resolve_sources(root, assets, patience)
    versions = map_threaded(lambda origin, stop: retry(origin.look, patience, stop), origins, FILES_AT_ONCE)
    return any(
        asset.path not in previous
        or previous[asset.path].origin != origin.shown
        or _told(previous[asset.path]).contradicts(new)
        for asset, origin, new in zip(assets, origins, versions, strict=True)
    )


def _told(received: DownloadedFile) -> FileVersion:
    return FileVersion(received.size_bytes, received.validator)


@dataclass(frozen=True)
class _Download:
    """One asset: where it comes from, what has come of it, and what a former run made of it."""

    asset: Asset
    origin: FileSource | UnpackedFolder
    part: PartialFile
    former_path: Path
    previous: DownloadedFile | None

    def forget_others(self, version: FileVersion) -> None:
        """Throw away what has come of another version."""
        if not self.part.belongs_to(self.origin.shown, version):
            self.part.clear()

    def missing_bytes(self, version: FileVersion) -> int:
        """Bytes still to come, as far as the origin or the publisher tells."""
        if self._may_be_kept(version):
            return 0
        if isinstance(self.origin, UnpackedFolder):
            return 0 if self.part.is_whole else self.origin.content_bytes()
        return max((version.size_bytes or self.asset.size_bytes or 0) - self.part.size_bytes, 0)

    def run(self, version: FileVersion, patience: RetryPolicy, stop: threading.Event) -> DownloadedFile:
        """Take the former file over, go on with a part, or begin."""
        if self._may_be_kept(version):
            self._keep(version)
        elif self.part.size_bytes and not self.part.is_whole:
            logger.info("%s: going on after %d bytes", self.origin.shown, self.part.size_bytes)
        return bring(self.asset, self.origin, self.part, patience, stop)

    def _may_be_kept(self, version: FileVersion) -> bool:
        previous = self.previous
        if previous is None or self.part.is_whole or version.validator is None:
            return False
        same = (previous.origin, previous.validator) == (self.origin.shown, version.validator)
        return same and self.former_path.is_file() and self.former_path.stat().st_size == previous.size_bytes

    def _keep(self, version: FileVersion) -> None:
        digests = Digests.of_file(self.former_path)
        if self.previous is not None and digests.get("sha256") == self.previous.sha256:
            logger.info("%s has not changed: kept", self.origin.shown)
            self.part.fill(self.origin.shown, version, partial(_link, self.former_path), digests)


def _link(path: Path, target: Path) -> None:
    """A second name for the same bytes, or a copy on a disk that knows none."""
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)


def _part(state: Path, asset: Asset) -> PartialFile:
    return PartialFile(state / "files" / asset.path, state / "records" / f"{asset.path}.json")


def _drop_strangers(folder: Path, paths: set[str]) -> None:
    """Remove what is no asset any more, so that the folder can become the new one as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in paths:
            path.unlink()


def _require_room(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        raise BoxlineError(
            f"{folder}: {needed_bytes:,} bytes are still to come, and the disk has {free_bytes:,} free. "
            "Make room, then run it again: what has come is kept."
        )


def _read(report: Path) -> Mapping[str, DownloadedFile]:
    """What a former run reported, if it can be read."""
    try:
        return msgspec.json.decode(report.read_bytes(), type=Report).files
    except (OSError, msgspec.MsgspecError):
        return {}
