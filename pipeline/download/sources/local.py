"""Files of a local folder."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.core.errors import BoxlineError
from pipeline.download.sources.base import CHUNK_BYTES, ByteStream, FileSource, FileVersion

LAYOUT_ADVICE = "A folder given as `source` in params.yaml must have the layout of the upstream."


class LocalSource(FileSource):
    """One local file."""

    def __init__(self, path: Path, hint: str = "") -> None:
        """`hint` says what is nearest to a file that is not there, for the error message."""
        self.display_name = str(path)
        self._path = path
        self._hint = hint

    def stat(self) -> FileVersion:
        """Return the version, with size and modification time as validator."""
        with self._open() as file:
            return _version(file)

    @contextlib.contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[ByteStream]:
        """Stream the file from `offset` if it is unchanged, else from its start."""
        with self._open() as file:
            version = _version(file)
            start = offset if validator == version.validator else 0
            file.seek(start)
            yield ByteStream(version, start, iter(lambda: self._read(file), b""))

    def _open(self) -> BinaryIO:
        with self._as_boxline_errors():
            mode = self._path.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe would block forever
                raise BoxlineError(f"{self._path} is not a regular file. Replace it with the file itself.")
            return self._path.open("rb")

    def _read(self, file: BinaryIO) -> bytes:
        with self._as_boxline_errors():
            return file.read(CHUNK_BYTES)

    @contextlib.contextmanager
    def _as_boxline_errors(self) -> Iterator[None]:
        """Convert OSErrors. For reads of this file only: an error while the copy is written is another one."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise BoxlineError(f"{self._path} not found{self._hint}. {LAYOUT_ADVICE}") from None
        except OSError as error:
            raise BoxlineError(f"{self._path} could not be read: {error.strerror}.") from None


def _version(file: BinaryIO) -> FileVersion:
    status = os.fstat(file.fileno())
    return FileVersion(status.st_size, f"{status.st_size} bytes, mtime {status.st_mtime_ns} ns")
