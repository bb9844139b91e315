"""Objects of an S3 bucket that are packed into one archive."""

import hashlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.archives.zip_archive import MAX_MEMBER_BYTES, write_archive
from pipeline.core.progress import ProgressBar
from pipeline.core.thread_pool import CancelledError, map_threaded
from pipeline.download.partial_file import PartialFile
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources.base import FileVersion, PackedSource
from pipeline.download.sources.s3 import ListedObject
from pipeline.download.transfer import stream_file

PARALLEL_DOWNLOADS = 16
"""Objects that are received at a time: small ones are mostly waited for."""


class PackedObjects(PackedSource):
    """Objects below a prefix, packed in the order of their names."""

    def __init__(
        self, display_name: str, objects: Sequence[ListedObject], comment: bytes, retry_policy: RetryPolicy
    ) -> None:
        """`display_name` is the address of the prefix, and `comment` that of the archive."""
        self.display_name = display_name
        self._objects = sorted(objects, key=lambda item: item.name)
        self._comment = comment
        self._retry_policy = retry_policy

    def stat(self) -> FileVersion:
        """Return the version, with a digest of all names, sizes and ETags as validator."""
        digest = hashlib.sha256()
        for item in self._objects:
            digest.update(f"{item.name!r} {item.size_bytes} {item.validator}\n".encode())
        return FileVersion(None, f"objects sha256:{digest.hexdigest()}")

    def content_bytes(self) -> int:
        """Return the size of the objects twice: they are received one by one, and then packed."""
        return 2 * sum(item.size_bytes for item in self._objects)

    def write_zip(self, target: Path, scratch: Path, stop: threading.Event) -> None:
        """Write the archive. `scratch` becomes a folder with the objects; those of an interrupted run are kept."""
        scratch.mkdir(parents=True, exist_ok=True)
        with ProgressBar(f"receiving {target.name}", len(self._objects), "object") as progress:

            def receive(item: ListedObject, failed: threading.Event) -> None:
                if stop.is_set():
                    raise CancelledError
                path = _path(scratch, item)
                if not path.is_file():
                    partial = PartialFile(path.with_suffix(".partial"))
                    stream_file(item.source, partial, self._retry_policy, failed, item.size_bytes, MAX_MEMBER_BYTES)
                    partial.path.replace(path)
                progress.update()

            map_threaded(receive, self._objects, PARALLEL_DOWNLOADS)

        def members() -> Iterator[tuple[str, bytes]]:
            for item in self._objects:
                if stop.is_set():
                    raise CancelledError
                yield item.name, _path(scratch, item).read_bytes()

        write_archive(target, members(), self._comment)
        shutil.rmtree(scratch)


def _path(scratch: Path, item: ListedObject) -> Path:
    """A path that belongs to one version of one object, whatever its name is."""
    return scratch / hashlib.sha256(f"{item.name!r} {item.size_bytes} {item.validator}".encode()).hexdigest()
