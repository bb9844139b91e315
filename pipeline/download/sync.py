"""Synchronization of a download folder with its source: resumable, incremental and atomic.

A partial folder keeps what was received until the download is complete; the previous download stays in place until
then. It contains:
    files/     the files under their final names; in the end this folder replaces the previous download
    metadata/  for each file, which version of which address its bytes belong to
    scratch/   what was received for archives that are made on this machine
    lock       held by the process that works in the folder
"""

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from pipeline.core.atomic_files import replace_directory, restore_directory, write_json
from pipeline.core.disk_space import require_disk_space
from pipeline.core.thread_pool import map_threaded
from pipeline.download.checksums import Checksums
from pipeline.download.manifest import Asset
from pipeline.download.partial_file import PartialFile
from pipeline.download.retry import DEFAULT_RETRY, RetryPolicy, retry
from pipeline.download.sources.base import FileVersion, PackedSource, Source
from pipeline.download.transfer import DownloadedFile, complete_file

logger = logging.getLogger(__name__)

FILES = "files"
METADATA = "metadata"
SCRATCH = "scratch"
PARALLEL_DOWNLOADS = 4
DISK_ADVICE = "Free disk space, then run the command again: bytes received so far are kept."


class DownloadReport(msgspec.Struct, frozen=True):
    """The files of a download folder by their paths in it."""

    files: dict[str, DownloadedFile]


@contextlib.contextmanager
def exclusive_lock(partial_dir: Path, operation: str) -> Iterator[None]:
    """Let only one process at a time work in `partial_dir`.

    Another process waits for the lock and logs once that it waits for another `operation`. The operating system
    releases the lock of a killed process.
    """
    partial_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(partial_dir / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("waiting for another %s to finish", operation)
        lock.acquire()
    try:
        yield
    finally:
        Path(lock.lock_file).unlink()
        lock.release()


def sync_files(
    files: Sequence[tuple[Asset, Source]],
    partial_dir: Path,
    out: Path,
    report: Path,
    retry_policy: RetryPolicy = DEFAULT_RETRY,
) -> dict[str, DownloadedFile]:
    """Download all assets to `partial_dir`, several at a time, resuming and reusing what is there already.

    A file in `partial_dir` is resumed. A file in `out` is reused if its source still has the version in `report` and
    the checksum of the file is the one in `report`. The caller holds the lock, see `exclusive_lock`.

    Args:
        files: the assets and where they are.
        partial_dir: the folder for what was received so far.
        out: the previous download; it is only read.
        report: the report of the previous download, see `install`.
        retry_policy: how long to wait and how often to retry.

    Returns:
        The downloaded files by path. They are in `partial_dir` until `install` is called.

    Raises:
        BoxlineError: if a download fails or a file does not match its asset; bytes received until then are kept. Also,
            before anything is written, if the disk has too little space.

    """
    restore_directory(out)
    _delete_other_files(partial_dir / FILES, {asset.path for asset, _ in files})
    previous = _read_report(report)
    downloads = [
        _Download(
            asset,
            source,
            PartialFile(partial_dir / FILES / asset.path, partial_dir / METADATA / f"{asset.path}.json"),
            partial_dir / SCRATCH / asset.path,
            out / asset.path,
            previous.get(asset.path),
        )
        for asset, source in files
    ]
    versions = map_threaded(
        lambda download, stop: retry(download.source.stat, retry_policy, stop), downloads, PARALLEL_DOWNLOADS
    )
    plan = list(zip(downloads, versions, strict=True))
    for download, version in plan:
        download.discard_other_version(version)
    missing_bytes = sum(download.missing_bytes(version) for download, version in plan)
    require_disk_space(partial_dir, missing_bytes, DISK_ADVICE)
    downloaded = map_threaded(lambda step, stop: step[0].run(step[1], retry_policy, stop), plan, PARALLEL_DOWNLOADS)
    return {asset.path: file for (asset, _), file in zip(files, downloaded, strict=True)}


def install(downloaded: Mapping[str, DownloadedFile], partial_dir: Path, out: Path, report: Path) -> None:
    """Replace `out` by the files in `partial_dir` and write `report`, a DownloadReport as JSON.

    The report is written first: if the process is killed in between, all files are still in `partial_dir` and nothing
    is downloaded again.
    """
    write_json(report, msgspec.to_builtins(DownloadReport(dict(downloaded))))
    replace_directory(out, partial_dir / FILES)
    shutil.rmtree(partial_dir / METADATA)
    shutil.rmtree(partial_dir / SCRATCH, ignore_errors=True)


def changed_since(
    report: Path, files: Sequence[tuple[Asset, Source]], retry_policy: RetryPolicy = DEFAULT_RETRY
) -> bool:
    """Return whether the files at the source differ from those in `report`, as far as the source reports versions.

    False if there is no report: then there is no download that could be outdated.
    """
    previous = _read_report(report)
    if not previous:
        return False
    if {asset.path for asset, _ in files} != set(previous):
        return True
    versions = map_threaded(lambda file, stop: retry(file[1].stat, retry_policy, stop), files, PARALLEL_DOWNLOADS)
    return any(
        previous[asset.path].origin != source.display_name or previous[asset.path].version.conflicts_with(version)
        for (asset, source), version in zip(files, versions, strict=True)
    )


@dataclass(frozen=True)
class _Download:
    """One asset: its source, what was received of it, and the file of the previous download."""

    asset: Asset
    source: Source
    partial_file: PartialFile
    scratch: Path
    previous_path: Path
    previous: DownloadedFile | None

    def discard_other_version(self, version: FileVersion) -> None:
        """Delete bytes that belong to another version."""
        if not self.partial_file.is_part_of(self.source.display_name, version):
            self.partial_file.clear()

    def missing_bytes(self, version: FileVersion) -> int:
        """Return how many bytes are still to be written, as far as the source or the publisher states the size."""
        if self._is_previous_unchanged(version):
            return 0
        if isinstance(self.source, PackedSource):
            return 0 if self.partial_file.is_complete else self.source.content_bytes()
        return max((version.size_bytes or self.asset.size_bytes or 0) - self.partial_file.size_bytes, 0)

    def run(self, version: FileVersion, retry_policy: RetryPolicy, stop: threading.Event) -> DownloadedFile:
        """Reuse the previous file, resume the partial file, or download the file from its start."""
        if self._is_previous_unchanged(version):
            self._reuse_previous(version)
        elif self.partial_file.size_bytes and not self.partial_file.is_complete:
            logger.info("%s: resuming after %d bytes", self.source.display_name, self.partial_file.size_bytes)
        return complete_file(self.asset, self.source, self.partial_file, self.scratch, retry_policy, stop)

    def _is_previous_unchanged(self, version: FileVersion) -> bool:
        previous = self.previous
        if previous is None or self.partial_file.is_complete or version.validator is None:
            return False
        is_same = (previous.origin, previous.validator) == (self.source.display_name, version.validator)
        return is_same and self.previous_path.is_file() and self.previous_path.stat().st_size == previous.size_bytes

    def _reuse_previous(self, version: FileVersion) -> None:
        name, checksums = self.source.display_name, Checksums.of_file(self.previous_path)
        if self.previous is not None and checksums.hexdigest("sha256") == self.previous.sha256:
            logger.info("%s is unchanged: keeping the previous download", name)
            self.partial_file.write_complete(
                name, version, lambda target: _link_or_copy(self.previous_path, target), checksums
            )


def _link_or_copy(path: Path, target: Path) -> None:
    """Create a hard link, or a copy if the file system does not support links."""
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)


def _delete_other_files(folder: Path, paths: set[str]) -> None:
    """Delete files that are no assets (any more), so that the folder can replace the previous download as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in paths:
            path.unlink()


def _read_report(report: Path) -> Mapping[str, DownloadedFile]:
    """The files of the previous download, or none if there is no valid report."""
    try:
        return msgspec.json.decode(report.read_bytes(), type=DownloadReport).files
    except (OSError, msgspec.MsgspecError):
        return {}
