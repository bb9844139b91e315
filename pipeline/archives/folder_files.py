"""The files of a user's folder: the same ones for a reader that looks into it and for the download that packs it."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.archives.member_lookup import nearest_name

logger = logging.getLogger(__name__)

MAX_WARNINGS = 10
"""Files that are left out and named; the others are counted."""

HIDDEN_FOLDER = "__MACOSX"
"""macOS adds it to its archives, with files such as `._1.jpg`."""


def list_files(root: Path, excluded: Path | None = None) -> list[str]:
    """List the files below a folder. Those that nobody provided as data are left out with a warning.

    They are links that lead out of the folder, links to folders, pipes and devices, names that are not UTF-8 and
    unreadable folders. Hidden files are left out silently.

    Args:
        root: the folder.
        excluded: a folder whose files are left out silently.

    Returns:
        The paths of the files in the folder, with slashes, in alphabetical order.

    """
    listing = _Listing(root, excluded)
    listing.run()
    for warning in listing.warnings[:MAX_WARNINGS]:
        logger.warning("%s It is left out.", warning)
    if len(listing.warnings) > MAX_WARNINGS:
        logger.warning("%s: %d more are left out.", root, len(listing.warnings) - MAX_WARNINGS)
    return sorted(listing.names)


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


class _Listing:
    """The files found so far, and why others are left out."""

    def __init__(self, root: Path, excluded: Path | None) -> None:
        self.names: list[str] = []
        self.warnings: list[str] = []
        self._root = root
        self._resolved_root = root.resolve()
        self._excluded = None if excluded is None else excluded.resolve()

    def run(self) -> None:
        folders = [""]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(self._root / folder) as entries:
                    folders += self._scan(folder, entries)
            except OSError as error:
                self.warnings.append(f"{self._root / folder} could not be read: {error.strerror}.")

    def _scan(self, folder: str, entries: Iterator["os.DirEntry[str]"]) -> Iterator[str]:
        """Add the files of a folder and yield its folders, as the beginnings of the names in them."""
        for entry in entries:
            name = folder + entry.name
            if _is_hidden_part(entry.name):
                continue
            if not _is_utf8(entry.name):
                self.warnings.append(f"{str(self._root / name)!r} has a name that is not UTF-8. Rename it.")
            elif entry.is_symlink():
                self._add_link(name)
            elif entry.is_file(follow_symlinks=False):
                self.names.append(name)
            elif not entry.is_dir(follow_symlinks=False):
                self._warn(name, "is not a regular file. Replace it with the file itself.")
            elif self._excluded is None or (self._resolved_root / name) != self._excluded:
                yield f"{name}/"

    def _add_link(self, name: str) -> None:
        path = self._root / name
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError before Python 3.13, for a link to itself
            self._warn(name, f"could not be read: {getattr(error, 'strerror', error)}.")
            return
        if not target.is_relative_to(self._resolved_root):
            self._warn(name, f"is a link that leads out of {self._root}. Replace it with the file itself.")
        elif target.is_dir():
            self._warn(name, "is a link to a folder, whose files are read where they are.")
        elif not target.is_file():
            self._warn(name, "is not a regular file. Replace it with the file itself.")
        else:
            self.names.append(name)

    def _warn(self, name: str, problem: str) -> None:
        self.warnings.append(f"{self._root / name} {problem}")


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
