"""Finds the images that an annotation file names, where images of several splits may have equal names."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import takewhile
from pathlib import PurePosixPath

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.member_lookup import with_slashes
from pipeline.archives.zip_archive import is_archive_name
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.datasets.formats.split_names import split_of_path

MAX_FOLDERS = 64
"""Folders that are tried one by one. A dataset with more of them names its images by their paths."""


def image_folders(tree: FileTree) -> list[str]:
    """The folders with images and those that hold them, each with a slash at its end; the empty text is the root."""
    folders = {PurePosixPath(name) for name in {folder_of(name) for name in with_suffix(tree.names(), *IMAGE_SUFFIXES)}}
    return sorted({_with_slash(parent) for folder in folders for parent in (folder, *folder.parents)})


def folder_of(name: str) -> str:
    """The folder of a file with a slash at its end, without the slowness of pathlib; empty for the root."""
    return name[: name.rfind("/") + 1]


class ImageFinder:
    """Looks beside and above an annotation file, then in the folders of its split, then in the whole tree.

    An image of another split is never taken, unless its name has the folder of that split. If a name fits several
    images equally well, none is taken.
    """

    def __init__(self, tree: FileTree, folders: Iterable[str], file: str, split: str | None) -> None:
        """Look for the images of one annotation file.

        Args:
            tree: the files.
            folders: `image_folders` of the tree.
            file: the annotation file.
            split: train, val or test; None if nothing says which.

        """
        self._tree = tree
        self._split = split
        self._own_folders = [_with_slash(parent) for parent in PurePosixPath(file).parents]
        by_rank: dict[tuple[bool, int, bool], list[str]] = defaultdict(list)
        for folder in folders:
            folder_split = split_of_path(f"{folder}image")
            if split is None or folder_split in (None, split):
                num_common = _num_common_parts(folder, file)
                # Of archives with the same names in them, as of several tasks, the tree has all but one in a folder.
                is_in_other_archive = any(map(is_archive_name, PurePosixPath(folder).parts[num_common:]))
                by_rank[folder_split != split, -num_common, is_in_other_archive].append(folder)
        self._folders = [by_rank[rank] for rank in sorted(by_rank)]
        if sum(map(len, self._folders)) > MAX_FOLDERS:
            self._folders = []

    def find(self, file_name: str) -> str | None:
        """Return the name in the tree of the image that the annotation file calls `file_name`, or None."""
        name = with_slashes(file_name)
        for folder in self._own_folders:
            if folder + name in self._tree:
                return folder + name
        for folders in self._folders:
            found = [folder + name for folder in folders if folder + name in self._tree]
            if found:
                return found[0] if len(found) == 1 else None
        for folder in (self._own_folders[0], *(folder for folders in self._folders[:1] for folder in folders), ""):
            place = self._tree.find(file_name, folder)
            if place is not None and self._may_be_of_split(place, name):
                return place
        return None

    def _may_be_of_split(self, place: str, name: str) -> bool:
        return self._split is None or split_of_path(place) in (None, self._split, split_of_path(name))


def _with_slash(folder: PurePosixPath) -> str:
    return "" if folder == PurePosixPath() else f"{folder}/"


def _num_common_parts(folder: str, file: str) -> int:
    pairs = zip(PurePosixPath(folder).parts, PurePosixPath(file).parts[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
