"""The files of a user's folder: the same ones for a reader that looks into it and for the download that packs it."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline.archives.left_out import LeftOutFiles
from pipeline.archives.member_lookup import nearest_name

HIDDEN_FOLDER = "__MACOSX"
"""macOS adds it to its archives, with files such as `._1.jpg`."""


def list_files(root: Path, excluded: Collection[Path] = ()) -> list[str]:
    """List the files below a folder. Those that nobody provided as data are left out with a warning.

    They are links that lead out of the folder, links to folders, pipes and devices, names that are not UTF-8 and
    unreadable folders. Hidden files are left out silently.

    Args:
        root: the folder.
        excluded: folders whose files are left out silently.

    Returns:
        The paths of the files in the folder, with slashes, in alphabetical order.

    """
    with LeftOutFiles(str(root)) as left_out:
        return sorted(_Scan(root, excluded, left_out).names())


def is_hidden(name: str) -> bool:
    """Whether the file or one of its folders begins with a dot or belongs to macOS.

    >>> [is_hidden(name) for name in (".DS_Store", "a/.ipynb_checkpoints/1.jpg", "__MACOSX/1.jpg", "a/1.jpg")]
    [True, True, True, False]
    """
    if not (name.startswith(".") or "/." in name or HIDDEN_FOLDER in name):  # almost every name
        return False
    return any(_is_hidden_part(part) for part in name.split("/"))


def not_found_message(path: Path) -> str:
    """Say that a path does not exist, and which existing one is nearest to it, as the first part of a message."""
    existing = next((parent for parent in path.parents if parent.is_dir()), None)
    if existing is None:
        return f"{path} not found."
    missing = path.relative_to(existing).parts[0]
    nearest = nearest_name(missing, [entry for entry in _names_in(existing) if not _is_hidden_part(entry)])
    if nearest is None:
        return f"{path} not found."
    return f"{path} not found; did you mean {existing / nearest}?"


class _Scan:
    """A walk through a folder, level by level."""

    def __init__(self, root: Path, excluded: Collection[Path], left_out: LeftOutFiles) -> None:
        self._root = root
        self._resolved_root = root.resolve()
        self._excluded = frozenset(folder.resolve() for folder in excluded)
        self._left_out = left_out

    def names(self) -> Iterator[str]:
        """Yield the names of the files in any order."""
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(self._root / folder) as entries:
                    for entry in entries:
                        name = folder + entry.name
                        if _is_hidden_part(entry.name):
                            continue
                        if not _is_utf8(entry.name):
                            self._left_out.add(f"{str(self._root / name)!r} has a name that is not UTF-8. Rename it.")
                        elif entry.is_dir(follow_symlinks=False):
                            if self._resolved_root / name not in self._excluded:
                                folders.append(f"{name}/")
                        elif entry.is_file(follow_symlinks=False) or self._is_usable(name):
                            yield name
            except OSError as error:
                self._left_out.add(f"{self._root / folder} could not be read: {error.strerror}.")

    def _is_usable(self, name: str) -> bool:
        """Whether a link or special file stands for a file below the root."""
        path = self._root / name
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError before Python 3.13, for a link to itself
            self._left_out.add(f"{path} could not be read: {getattr(error, 'strerror', error)}.")
            return False
        if not target.is_relative_to(self._resolved_root):
            self._left_out.add(f"{path} is a link that leads out of {self._root}. Replace it with the file itself.")
        elif target.is_dir():
            self._left_out.add(f"{path} is a link to a folder, whose files are read where they are.")
        elif not target.is_file():
            self._left_out.add(f"{path} is not a regular file. Replace it with the file itself.")
        else:
            return True
        return False


def _is_hidden_part(part: str) -> bool:
    return part.startswith(".") or part == HIDDEN_FOLDER


def _is_utf8(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  # names are all that is needed
    except OSError:  # a folder without permission
        return []
