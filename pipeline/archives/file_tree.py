"""The files of a dataset by name, whether they are loose in a folder or members of archives.

A reader sees the same names when `boxline add` looks into a user's folder, and when the stage `tables` reads the
archives that the stage `download` made of that folder.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from pipeline.archives.compact_mapping import CompactMapping
from pipeline.archives.folder_files import is_hidden, list_files, not_found_message
from pipeline.archives.image_sizes import HEAD_BYTES, image_size, size_in_head
from pipeline.archives.left_out import LeftOutFiles
from pipeline.archives.member_lookup import NameLookup, with_slashes
from pipeline.archives.zip_archive import (
    CHUNK_BYTES,
    LOOSE_FILES_COMMENT,
    MAX_MEMBER_BYTES,
    Archive,
    Member,
    is_archive_name,
)
from pipeline.core.errors import BoxlineError

LOOSE = 0
"""In place of the number of a place, for files that are in no archive."""


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

    def read_chunks(self) -> Iterator[bytes]:
        """Yield the content piece by piece.

        Raises:
            BoxlineError: if the file is unreadable.

        """
        try:
            with self.path.open("rb", buffering=0) as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise BoxlineError(f"{self} could not be read: {error.strerror}.") from None

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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the members of an archive are in the tree: their names have a prefix in front. Many files share one."""

    archive: Archive
    archive_path: str
    prefix: str


class FileTree:
    """All files below a folder. The members of an archive count as files of the folder that holds the archive.

    If two files have the same name, a member of an archive has the name of its archive in front: `train.zip/1.jpg`.
    Archives in which the stage `download` packed loose files count as these loose files. Files can be read in several
    threads at once.
    """

    def __init__(self, root: Path) -> None:
        """`root` is a folder or one zip archive.

        Raises:
            BoxlineError: if `root` does not exist, or an archive cannot be read.

        """
        if root.is_dir():
            self._root, names = root, list_files(root)
        elif root.is_file():
            self._root, names = root.parent, [root.name]
        else:
            raise BoxlineError(f"{not_found_message(root)} Name a folder or an archive.")
        # A million files share a few places, so a name costs little more than its text.
        self._places: list[_Place | None] = [None]
        place_numbers = {name: LOOSE for name in names if not is_archive_name(name)}
        self._unusual_member_names: dict[str, str] = {}
        self._names_without_encoding: dict[str, bytes] = {}
        archives = [(name, Archive(self._root / name)) for name in names if is_archive_name(name)]
        for name, archive in sorted(archives, key=lambda pair: pair[1].comment != LOOSE_FILES_COMMENT):
            self._add_members(archive, name, place_numbers)
        self._place_numbers = CompactMapping(place_numbers)

    def _add_members(self, archive: Archive, archive_path: str, place_numbers: dict[str, int]) -> None:
        """Add the members of an archive to the numbers of places by name."""
        prefixes = (archive_path[: archive_path.rfind("/") + 1], f"{archive_path}/")
        in_folder, in_archive = range(len(self._places), len(self._places) + len(prefixes))
        self._places += [_Place(archive, archive_path, prefix) for prefix in prefixes]
        with LeftOutFiles(str(archive.path)) as left_out:
            for member_name in archive.names():
                clean_name = _clean(member_name)
                if is_hidden(clean_name):
                    continue
                is_free = prefixes[0] + clean_name not in place_numbers
                prefix, number = (prefixes[0], in_folder) if is_free else (prefixes[1], in_archive)
                name = prefix + clean_name
                if not clean_name or name in place_numbers:
                    problem = "has the name of another file" if clean_name else "has no name"
                    left_out.add(f"{archive.path}: member {member_name!r} {problem}.")
                    continue
                place_numbers[name] = number
                if clean_name != member_name:
                    self._unusual_member_names[name] = member_name
                if content := archive.names_without_encoding.get(member_name):
                    self._names_without_encoding[name] = prefix.encode() + content

    def names(self) -> list[str]:
        """Return the names of all files in alphabetical order; hidden ones are left out. The list must not change."""
        return self._place_numbers.names

    def __contains__(self, name: str) -> bool:
        return name in self._place_numbers

    def read(self, name: str, max_bytes: int = MAX_MEMBER_BYTES) -> bytes:
        """Return the content of a file.

        Args:
            name: one of `names`.
            max_bytes: the largest content that is read.

        Raises:
            BoxlineError: if the file is larger, corrupt or unreadable.

        """
        return self._file(name).read(max_bytes)

    def read_head(self, name: str, num_bytes: int) -> bytes:
        """Return the first bytes of a file, or all if there are fewer.

        Args:
            name: one of `names`.
            num_bytes: how many.

        Raises:
            BoxlineError: if the file is corrupt within these bytes, or unreadable.

        """
        return self._file(name).read_head(num_bytes)

    def read_chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file piece by piece, for what need not be in memory at once.

        Args:
            name: one of `names`.

        Raises:
            BoxlineError: if the file is corrupt, which may show after its last piece only, or unreadable.

        """
        return self._file(name).read_chunks()

    def read_many(self, names: Iterable[str], max_bytes: int = MAX_MEMBER_BYTES) -> Iterator[bytes | BoxlineError]:
        """Read files one after the other: several times as fast as `read` if they are small members of an archive.

        Args:
            names: some of `names`.
            max_bytes: the largest content that is read.

        Yields:
            The content of each file, or why it cannot be read.

        """
        for place, group in groupby(names, self._place):
            if place is not None:
                yield from place.archive.read_many((self._member_name(name, place) for name in group), max_bytes)
                continue
            for name in group:
                try:
                    yield self.read(name, max_bytes)
                except BoxlineError as error:
                    yield error

    def image_sizes(self, names: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yield what `image_size` returns for each of the names, which is faster."""
        for place, group in groupby(names, lambda name: self._place(name) if name in self else None):
            if place is None:
                yield from map(self.image_size, group)
                continue
            members = [self._member_name(name, place) for name in group]
            for member, head in zip(members, place.archive.read_heads(members, HEAD_BYTES), strict=True):
                size = None if isinstance(head, BoxlineError) else size_in_head(head)
                yield image_size(place.archive.member(member)) if size is None else size

    def image_size(self, name: str) -> tuple[int, int]:
        """Return width and height in pixels of an image; 0, 0 if there is no such file or its header is unreadable."""
        return image_size(self._file(name)) if name in self else (0, 0)

    def find(self, name: str, folder: str = "") -> str | None:
        """Return the one of `names` that `name` stands for by the rules of `member_lookup`, or None.

        Args:
            name: the name as an annotation states it, possibly with folders that only its author's machine has.
            folder: where the file should be, if that is known; empty or with a slash at its end.

        """
        fits = self._lookup.fits(name, folder)
        return fits[0] if len(fits) == 1 else None

    def location(self, name: str) -> tuple[str, str]:
        """Return the archive of a file, as its path below the root, and the name of the member in it.

        A loose file has no archive; its archive is the empty text.
        """
        place = self._place(name)
        return ("", name) if place is None else (place.archive_path, self._member_name(name, place))

    def path(self, name: str) -> Path | None:
        """Return the path of a loose file; None for a member of an archive."""
        return self._root / name if self._place(name) is None else None

    def _file(self, name: str) -> LooseFile | Member:
        place = self._place(name)
        return LooseFile(self._root / name) if place is None else place.archive.member(self._member_name(name, place))

    def _place(self, name: str) -> _Place | None:
        """Where the archive of a file is; None for a loose file."""
        return self._places[self._place_numbers[name]]

    def _member_name(self, name: str, place: _Place) -> str:
        return self._unusual_member_names.get(name) or name[len(place.prefix) :]

    @cached_property
    def _lookup(self) -> NameLookup:
        return NameLookup(self._place_numbers, self._names_without_encoding)


def with_suffix(names: Sequence[str], *suffixes: str) -> list[str]:
    """The names that end with one of the suffixes, in any case."""
    return [name for name in names if name.lower().endswith(suffixes)]


def _clean(member_name: str) -> str:
    r"""The name of a member as a path in a folder, whatever its author made of it.

    >>> _clean("train/1.jpg"), _clean(r"train\1.jpg"), _clean("./1.jpg"), _clean("/tmp/../../1.jpg")
    ('train/1.jpg', 'train/1.jpg', '1.jpg', 'tmp/1.jpg')
    """
    if "\\" not in member_name and "./" not in member_name and "//" not in member_name and member_name[:1] not in "/.":
        return member_name
    return "/".join(part for part in with_slashes(member_name).split("/") if part != "..")
