"""Files of a folder as origins."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.core.errors import BoxlineError
from pipeline.download.sources.base import CHUNK_BYTES, ByteStream, FileVersion

LAYOUT_ADVICE = "A folder given as `source` in params.yaml is laid out like the upstream."


class LocalSource:
    """A file of a folder."""

    def __init__(self, path: Path) -> None:
        self.shown = str(path)
        self._path = path

    def look(self) -> FileVersion:
        """Size and time, from the file's entry."""
        with self._opened() as file:
            return _version(file)

    @contextlib.contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[ByteStream]:
        """From `offset` on where the file is still the same."""
        with self._opened() as file:
            version = _version(file)
            start = offset if validator == version.validator else 0
            file.seek(start)
            yield ByteStream(version, start, iter(lambda: self._read(file), b""))

    def _opened(self) -> BinaryIO:
        with self._explained():
            mode = self._path.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # to open a pipe would wait forever
                raise BoxlineError(f"{self._path} is not a regular file. Put the file itself there.")
            return self._path.open("rb")

    def _read(self, file: BinaryIO) -> bytes:
        with self._explained():
            return file.read(CHUNK_BYTES)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Around nothing but what is asked of this file: writing its copy has faults of its own."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            raise BoxlineError(f"{self._path} not found. {LAYOUT_ADVICE}") from None
        except OSError as error:
            raise BoxlineError(f"{self._path} could not be read: {error.strerror}.") from None


def _version(file: BinaryIO) -> FileVersion:
    facts = os.fstat(file.fileno())
    return FileVersion(facts.st_size, f"{facts.st_size} bytes, mtime {facts.st_mtime_ns} ns")
