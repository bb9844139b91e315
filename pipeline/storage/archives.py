"""Zip archives read in place, member by member; nothing is ever extracted.

DVC then tracks a handful of big files instead of a hundred thousand small ones, and a member's name never becomes a
path on this machine.
"""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from pipeline.errors import BoxlineError

MAX_MEMBER_BYTES = 2 << 30
"""Largest member that is read: the annotations of COCO 2017 are 0.5 GB. A zip bomb claims far more."""

MAX_IMAGE_BYTES = 64 << 20
"""Largest image file that is read."""


class Archive:
    """An open zip archive. Every complaint names the archive and the member."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise BoxlineError(f"{path} not found. `dvc repro` downloads it.") from None
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise BoxlineError(
                f"{path} is not a readable zip archive ({error}). Delete it and download it again."
            ) from None

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._zip.close()

    def __contains__(self, member: str) -> bool:
        return member in self._zip.NameToInfo

    def names(self) -> list[str]:
        """The members' names, in the archive's order."""
        return list(self._zip.NameToInfo)

    def read(self, member: str, max_bytes: int = MAX_MEMBER_BYTES) -> bytes:
        """The member's bytes, checked against the archive's own CRC. Safe to call from several threads.

        Raises BoxlineError where the member is missing, damaged or claims more than `max_bytes`, before unpacking it.
        """
        try:
            info = self._zip.getinfo(member)
            if info.file_size > max_bytes:
                raise BoxlineError(
                    f"{self.path}: member {member} claims {info.file_size} bytes, more than {max_bytes} allowed."
                )
            return self._zip.read(info)
        except KeyError:
            raise BoxlineError(f"{self.path}: member {member} not found.") from None
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            raise BoxlineError(
                f"{self.path}: member {member} is damaged ({error}). Download the archive again."
            ) from None


class ArchiveFolder:
    """The archives below one download folder, each opened once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Archive] = {}

    def __enter__(self) -> "ArchiveFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for archive in self._open.values():
            archive.__exit__(kind, value, traceback)

    def __getitem__(self, path: str) -> Archive:
        if path not in self._open:
            self._open[path] = Archive(self._folder / path)
        return self._open[path]


def write_archive(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """A zip archive of (name, bytes), stored without compression and without dates: the same members, the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)
