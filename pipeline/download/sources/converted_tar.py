"""A tar archive, local or remote, of which a zip archive is made: members of a zip archive are read in place."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from pipeline.archives.tar_archive import read_tar
from pipeline.archives.zip_archive import write_archive
from pipeline.core.errors import BoxlineError
from pipeline.core.progress import byte_bar
from pipeline.core.thread_pool import CancelledError
from pipeline.download.partial_file import PartialFile
from pipeline.download.retry import RetryPolicy, retry
from pipeline.download.sources.base import FileSource, FileVersion, PackedSource
from pipeline.download.transfer import stream_file

MIN_FREE_BYTES = 1 << 28
"""Free disk space that a conversion leaves: how large the members of a compressed archive are is unknown before."""

CHECKED_BYTES = 1 << 26
"""Bytes written between two looks at the disk space."""


class ConvertedTar(PackedSource):
    """The zip archive of the files in a tar archive, in its order and without compression."""

    def __init__(self, source: FileSource, path: Path | None, retry_policy: RetryPolicy) -> None:
        """Prepare to convert.

        Args:
            source: the tar archive.
            path: its path if it is local; a remote one is downloaded first, which resumes after an interruption.
            retry_policy: how long to wait and how often to retry.

        """
        self.display_name = source.display_name
        self._source = source
        self._path = path
        self._retry_policy = retry_policy

    def stat(self) -> FileVersion:
        """Return the version of the tar archive, without its size."""
        return FileVersion(None, self._source.stat().validator)

    def content_bytes(self) -> int:
        """Return the size of the tar archive, which is about that of the zip archive; twice it if it is remote."""
        return (retry(self._source.stat, self._retry_policy).size_bytes or 0) * (2 if self._path is None else 1)

    def write_zip(self, target: Path, scratch: Path, stop: threading.Event) -> None:
        """Write the archive. A remote tar archive is received in `scratch`."""
        path = self._path
        if path is None:
            path = scratch
            self._receive(PartialFile(scratch, scratch.with_name(f"{scratch.name}.json")), stop)
        try:
            write_archive(target, self._members(path, target, stop))
        except BoxlineError as error:
            # Messages name the address of a remote archive instead of the temporary path.
            raise BoxlineError(str(error).replace(str(path), self.display_name)) from None
        if self._path is None:
            scratch.unlink()

    def _receive(self, partial_file: PartialFile, stop: threading.Event) -> None:
        if not partial_file.is_part_of(self.display_name, retry(self._source.stat, self._retry_policy, stop)):
            partial_file.clear()
        stream_file(self._source, partial_file, self._retry_policy, stop)

    def _members(self, path: Path, target: Path, stop: threading.Event) -> Iterator[tuple[str, bytes]]:
        position, unchecked_bytes = 0, CHECKED_BYTES
        with byte_bar(f"packing {target.name}", path.stat().st_size) as progress:

            def advance(new_position: int) -> None:
                nonlocal position
                progress.update(new_position - position)
                position = new_position

            for name, content in read_tar(path, advance):
                if stop.is_set():
                    raise CancelledError
                unchecked_bytes += len(content)
                if unchecked_bytes >= CHECKED_BYTES:
                    _require_free_space(target, len(content))
                    unchecked_bytes = 0
                yield name, content


def _require_free_space(target: Path, num_bytes: int) -> None:
    free_bytes = shutil.disk_usage(target.parent).free
    if free_bytes < num_bytes + MIN_FREE_BYTES:
        raise BoxlineError(
            f"{target}: only {free_bytes:,} bytes are free on the disk, and the archive is not complete yet. "
            "Free disk space, then run the command again."
        )
