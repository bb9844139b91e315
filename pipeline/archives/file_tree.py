"""The files of a dataset by name, whether they are loose in a folder or members of archives.

A reader sees the same names when `boxline add` looks into a user's folder, and when the stage `tables` reads the
archives that the stage `download` made of that folder.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from pipeline.archives.image_sizes import image_size
from pipeline.archives.member_lookup import NameLookup, NameLookupError
from pipeline.archives.zip_archive import MAX_MEMBER_BYTES, Archive, Member
from pipeline.core.errors import BoxlineError

ARCHIVE_SUFFIX = ".zip"


@dataclass(frozen=True, slots=True)
class LooseFile:
    """A file in a folder, with the methods of `Member`."""

    path: Path

    def read(self, max_bytes: int = MAX_MEMBER_BYTES) -> bytes:
        """Return the content.

        Raises:
            BoxlineError: if it has more than `max_bytes` or is unreadable.

        """
        return self._read(max_bytes, may_be_larger=False)

    def read_head(self, num_bytes: int) -> bytes:
        """Return the first bytes of the file, or all if there are fewer.

        Raises:
            BoxlineError: if the file is unreadable.

        """
        return self._read(num_bytes, may_be_larger=True)

    def _read(self, num_bytes: int, *, may_be_larger: bool) -> bytes:
        try:
            with self.path.open("rb", buffering=0) as file:
                size_bytes = os.fstat(file.fileno()).st_size
                if size_bytes > num_bytes and not may_be_larger:
                    raise BoxlineError(f"{self} has {size_bytes} bytes, more than {num_bytes} allowed.")
                return file.read(min(size_bytes, num_bytes))
        except OSError as error:
            raise BoxlineError(f"{self} could not be read: {error.strerror}.") from None

    def __str__(self) -> str:
        return str(self.path)


class FileTree:
    """All files below a folder. The members of an archive count as files of the folder that holds the archive.

    If two files have the same name, those in archives have the name of their archive in front: `train.zip/1.jpg`.
    """

    def __init__(self, root: Path) -> None:
        """`root` is a folder or one zip archive.

        Raises:
            BoxlineError: if `root` does not exist, or an archive cannot be read.

        """
        self._files: dict[str, LooseFile | Member] = {}
        if root.is_dir():
            self._root = root
            paths = sorted(path for path in root.rglob("*") if path.is_file())
        elif root.is_file():
            self._root = root.parent
            paths = [root]
        else:
            raise BoxlineError(f"{root} not found. Name a folder or an archive.")
        for path in paths:
            name = path.relative_to(self._root).as_posix()
            if path.suffix.lower() == ARCHIVE_SUFFIX:
                self._add_members(path, name)
            elif not _is_hidden(name):
                self._files[name] = LooseFile(path)

    def _add_members(self, path: Path, name: str) -> None:
        archive = Archive(path)
        for member_name in archive.names():
            if not _is_hidden(member_name):
                placed = (PurePosixPath(name).parent / member_name).as_posix()
                self._files[placed if placed not in self._files else f"{name}/{member_name}"] = archive[member_name]

    def names(self) -> list[str]:
        """Return the names of all files in alphabetical order; hidden ones are left out."""
        return sorted(self._files)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str, max_bytes: int = MAX_MEMBER_BYTES) -> bytes:
        """Return the content of a file.

        Args:
            name: one of `names`.
            max_bytes: the largest content that is read.

        Raises:
            BoxlineError: if the file is larger, corrupt or unreadable.

        """
        return self._files[name].read(max_bytes)

    def read_head(self, name: str, num_bytes: int) -> bytes:
        """Return the first bytes of a file, or all if there are fewer.

        Args:
            name: one of `names`.
            num_bytes: how many.

        Raises:
            BoxlineError: if the file is corrupt within these bytes, or unreadable.

        """
        return self._files[name].read_head(num_bytes)

    def image_size(self, name: str) -> tuple[int, int]:
        """Return width and height in pixels of an image; 0, 0 if there is no such file or its header is unreadable."""
        return image_size(self._files.get(name))

    def find(self, name: str, folder: str = "") -> str | None:
        """Return the one of `names` that `name` stands for by the rules of `member_lookup`, or None.

        Args:
            name: the name as an annotation states it, possibly with folders that only its author's machine has.
            folder: where the file should be, if that is known; empty or with a slash at its end.

        """
        try:
            return self._lookup.find(name, folder)
        except NameLookupError:
            return None

    def location(self, name: str) -> tuple[str, str]:
        """Return the archive of a file, as its path below the root, and the name of the member in it.

        A loose file has no archive; its archive is the empty text.
        """
        file = self._files[name]
        if isinstance(file, Member):
            return file.archive.relative_to(self._root).as_posix(), file.name
        return "", name

    @cached_property
    def _lookup(self) -> NameLookup:
        return NameLookup(self._files)


def with_suffix(names: Sequence[str], *suffixes: str) -> list[str]:
    """The names that end with one of the suffixes, in any case."""
    return [name for name in names if name.lower().endswith(suffixes)]


def _is_hidden(name: str) -> bool:
    """Whether the file or one of its folders begins with a dot, or belongs to macOS: `__MACOSX/._1.jpg`."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
