"""Files that come bit by bit, over cuts, kills and days."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from pipeline.core.atomic_files import write_json
from pipeline.core.errors import BoxlineError
from pipeline.download.checksums import Digests
from pipeline.download.sources.base import FileVersion


class PartialFileMetadata(msgspec.Struct, frozen=True):
    """What a part is a part of: the file's address without secrets, and its version there."""

    origin: str
    size_bytes: int | None
    validator: str | None


class PartialFile:
    """What has come of one file so far, at `path`. Bytes are added at the end and nowhere else.

    With a `record_path`, a later process goes on where this one was killed. The record says what the bytes are of. It
    is never older than they are, and bytes without one are thrown away.

    size_bytes: on disk. furthest_bytes: the most that there ever were.
    is_fresh: whether all of them came in one answer, just now.
    """

    def __init__(self, path: Path, record_path: Path | None = None) -> None:
        self.path = path
        self._record_path = record_path
        self._record = _read(record_path) if record_path else None
        self._digests: Digests | None = None  # until they are asked for: those of a large file take a minute
        self.size_bytes = path.stat().st_size if path.is_file() else 0
        self.furthest_bytes = self.size_bytes
        self.is_fresh = False
        if self._record is None or not path.is_file():
            self.clear()

    @property
    def version(self) -> FileVersion:
        """The version that the bytes are of."""
        return FileVersion(self._record.size_bytes, self._record.validator) if self._record else FileVersion(None, None)

    @property
    def offset(self) -> int:
        """Where to go on: at the start where no validator could tell a changed file from the same one."""
        return self.size_bytes if self.version.validator is not None else 0

    @property
    def is_whole(self) -> bool:
        """Whether all bytes have come."""
        return self._record is not None and self._record.size_bytes == self.size_bytes

    @property
    def digests(self) -> Digests:
        """Of the bytes so far."""
        if self._digests is None:
            self._digests = Digests.of_file(self.path)
        return self._digests

    def belongs_to(self, origin: str, version: FileVersion) -> bool:
        """Whether the bytes are of that version of that file, and something proves it.

        Another size contradicts only a whole file: what is asked for the rest of one tells its true size.
        """
        if self._record is None or self._record.origin != origin or version.validator is None:
            return False
        same = self._record.validator == version.validator
        return same and not (self.is_whole and self.version.contradicts(version))

    def clear(self) -> None:
        """Throw away what has come. The file is unlinked and never cut: its bytes may have another name elsewhere."""
        self.path.unlink(missing_ok=True)
        if self._record_path:
            self._record_path.unlink(missing_ok=True)
        self._record, self._digests, self.size_bytes, self.is_fresh = None, None, 0, False

    def begin(self, origin: str, version: FileVersion) -> None:
        """Start over with that version."""
        self.clear()
        self._write_record(PartialFileMetadata(origin, version.size_bytes, version.validator))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
        self._digests, self.is_fresh = Digests(), True

    def append(self, chunk: bytes) -> None:
        """Add bytes, at once, so that a kill loses none. Raises BoxlineError where the disk takes no more."""
        digests, rest = self.digests, memoryview(chunk)
        try:
            with self.path.open("ab", buffering=0) as file:
                while rest:
                    written_bytes = file.write(rest)
                    digests.update(rest[:written_bytes])
                    rest = rest[written_bytes:]
                    self.size_bytes += written_bytes
        except OSError as error:
            raise BoxlineError(
                f"{self.path} could not be written after {self.size_bytes} bytes: {error.strerror}. "
                "Make room or grant access, then run it again."
            ) from None
        self.furthest_bytes = max(self.furthest_bytes, self.size_bytes)

    def finish(self) -> None:
        """Say that all bytes have come, where nobody knew before how many they would be."""
        if self._record and self._record.size_bytes is None:
            self._write_record(msgspec.structs.replace(self._record, size_bytes=self.size_bytes))

    def fill(
        self, origin: str, version: FileVersion, write: Callable[[Path], object], digests: Digests | None = None
    ) -> None:
        """Let `write` make the whole file at once; its digests where they are known."""
        self.clear()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write(self.path)
        self.size_bytes = self.path.stat().st_size
        self._write_record(PartialFileMetadata(origin, self.size_bytes, version.validator))
        self._digests = digests

    def _write_record(self, record: PartialFileMetadata) -> None:
        self._record = record
        if self._record_path:
            write_json(self._record_path, msgspec.to_builtins(record))


def _read(path: Path) -> PartialFileMetadata | None:
    """None where there is no record, or a damaged one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PartialFileMetadata)
    except (OSError, msgspec.MsgspecError):
        return None
