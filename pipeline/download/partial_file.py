"""Partial files: downloads that grow over interruptions, kills and days."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from pipeline.core.atomic_files import write_json
from pipeline.core.errors import BoxlineError
from pipeline.download.checksums import Checksums
from pipeline.download.sources.base import FileVersion


class PartialFileMetadata(msgspec.Struct, frozen=True):
    """Which file the bytes of a partial file belong to.

    Attributes:
        origin: the address of the file without secrets.
        size_bytes: the size of the complete file, if known.
        validator: the validator of its version, see `FileVersion`.

    """

    origin: str
    size_bytes: int | None
    validator: str | None


class PartialFile:
    """The bytes of one file received so far. Bytes are only ever appended.

    With a `metadata_path`, a later process resumes after this one was killed. The metadata are always written before
    the bytes that they describe, and bytes without metadata are deleted.

    Attributes:
        path: the file with the bytes.
        size_bytes: its size.
        peak_size_bytes: the largest size that it has ever had in this process.
        is_from_one_stream: whether all bytes were received in a single response of this process.

    """

    def __init__(self, path: Path, metadata_path: Path | None = None) -> None:
        self.path = path
        self._metadata_path = metadata_path
        self._metadata = _read_metadata(metadata_path) if metadata_path else None
        self._checksums: Checksums | None = None  # computed on demand: those of a large file take a minute
        self.size_bytes = path.stat().st_size if path.is_file() else 0
        self.peak_size_bytes = self.size_bytes
        self.is_from_one_stream = False
        if self._metadata is None or not path.is_file():
            self.clear()

    @property
    def version(self) -> FileVersion:
        """The version that the bytes belong to."""
        if self._metadata is None:
            return FileVersion(None, None)
        return FileVersion(self._metadata.size_bytes, self._metadata.validator)

    @property
    def resume_offset(self) -> int:
        """The number of bytes to skip in the next request: 0 without a validator, which could not detect a change."""
        return self.size_bytes if self.version.validator is not None else 0

    @property
    def is_complete(self) -> bool:
        """Whether all bytes were received."""
        return self._metadata is not None and self._metadata.size_bytes == self.size_bytes

    @property
    def checksums(self) -> Checksums:
        """The checksums of the bytes received so far."""
        if self._checksums is None:
            self._checksums = Checksums.of_file(self.path)
        return self._checksums

    def is_part_of(self, origin: str, version: FileVersion) -> bool:
        """Return whether the bytes provably belong to that version of that file.

        A different size is a contradiction only if this file is complete. Otherwise the size in `version` may be wrong
        (some servers report it wrongly to HEAD); the request for the remaining bytes returns the true one.
        """
        if self._metadata is None or self._metadata.origin != origin or version.validator is None:
            return False
        is_same = self._metadata.validator == version.validator
        return is_same and not (self.is_complete and self.version.conflicts_with(version))

    def clear(self) -> None:
        """Delete the bytes and the metadata.

        The file is unlinked and never truncated: its content may have other hard links.
        """
        self.path.unlink(missing_ok=True)
        if self._metadata_path:
            self._metadata_path.unlink(missing_ok=True)
        self._metadata, self._checksums, self.size_bytes, self.is_from_one_stream = None, None, 0, False

    def start(self, origin: str, version: FileVersion) -> None:
        """Start over with that version and no bytes."""
        self.clear()
        self._write_metadata(PartialFileMetadata(origin, version.size_bytes, version.validator))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self._checksums, self.is_from_one_stream = Checksums(), True

    def append(self, chunk: bytes) -> None:
        """Append bytes without buffering, so that a kill loses none of them.

        Raises:
            BoxlineError: if they cannot be written, for example because the disk is full.

        """
        checksums, remaining = self.checksums, memoryview(chunk)
        try:
            with self.path.open("ab", buffering=0) as file:
                while remaining:
                    written_bytes = file.write(remaining)
                    checksums.update(remaining[:written_bytes])
                    remaining = remaining[written_bytes:]
                    self.size_bytes += written_bytes
        except OSError as error:
            raise BoxlineError(
                f"{self.path} could not be written after {self.size_bytes} bytes: {error.strerror}. "
                "Free disk space or grant write access, then run the command again."
            ) from None
        self.peak_size_bytes = max(self.peak_size_bytes, self.size_bytes)

    def mark_complete(self) -> None:
        """Record the present size as the size of the complete file, if the source never reported one."""
        if self._metadata and self._metadata.size_bytes is None:
            self._write_metadata(msgspec.structs.replace(self._metadata, size_bytes=self.size_bytes))

    def write_complete(
        self, origin: str, version: FileVersion, write: Callable[[Path], object], checksums: Checksums | None = None
    ) -> None:
        """Write the complete file with `write`, a function of its path; `checksums` are those of the file, if known."""
        self.clear()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write(self.path)
        self.size_bytes = self.path.stat().st_size
        self._write_metadata(PartialFileMetadata(origin, self.size_bytes, version.validator))
        self._checksums = checksums

    def _write_metadata(self, metadata: PartialFileMetadata) -> None:
        self._metadata = metadata
        if self._metadata_path:
            write_json(self._metadata_path, msgspec.to_builtins(metadata))


def _read_metadata(path: Path) -> PartialFileMetadata | None:
    """Return None if the file is missing or corrupt."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PartialFileMetadata)
    except (OSError, msgspec.MsgspecError):
        return None
