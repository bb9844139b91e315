"""Finds the image that an annotation file describes, for formats with one annotation file per image."""

import posixpath
from collections.abc import Iterable, Sequence, Set
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.member_lookup import with_slashes
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.datasets.formats.split_names import split_of_path


class AnnotatedImage(NamedTuple):
    """The image of an annotation file.

    Attributes:
        name: name in the tree, or where the image should be if there is no such file.
        names_another: whether the annotation file names another image of the tree.

    """

    name: str
    names_another: bool = False


class AnnotatedImages:
    """Looks for the image with the stem of the annotation file, and then for the one that the annotation file names.

    In this order, because annotation files are copied and renamed together with their images, and keep the name of the
    earlier image inside. Of several images with a stem, the one in the nearest folder is taken: `images/train/1.jpg`
    for `labels/train/1.xml`. If several are equally near, none is. An image of another split is never taken, nor one
    for which there is a nearer annotation file.
    """

    def __init__(self, tree: FileTree, annotation_files: Sequence[str]) -> None:
        self._tree = tree
        self._images = _by_stem(with_suffix(tree.names(), *IMAGE_SUFFIXES))
        files = _by_stem(annotation_files)
        self._file_by_image: dict[str, str] = {}
        self._rivals = {stem: names for stem, names in files.items() if isinstance(names, list)}

    def find(self, file: str, published: str) -> AnnotatedImage:
        """Return the image of an annotation file.

        Args:
            file: the annotation file.
            published: how the file names the image, possibly with folders that only its author's machine has, without
                a suffix, or not at all.

        """
        stem, folder = _stem(file), _folder(file)
        own = self._images.get(stem)
        if isinstance(own, str):
            is_named = published in ("", stem, own) or own.endswith(f"/{published}")
            if is_named and self._may_be_of(own, file):  # almost always
                return AnnotatedImage(own)
        named = self._named(folder, with_slashes(published)) if published else None
        if isinstance(own, list):
            own = named if named in own else _nearest(own, folder)
        if own is not None and self._may_be_of(own, file):
            return AnnotatedImage(own, named is not None and named != own)
        if named is not None and self._may_be_of(named, file) and not self._has_file(named, file):
            return AnnotatedImage(named)
        name = stem + PurePosixPath(published).suffix if named or not published else with_slashes(published)
        return AnnotatedImage(posixpath.join(folder, name))

    def claim(self, image: str, file: str) -> str | None:
        """Take the image for this annotation file. Returns why not, if another file has it already."""
        other = self._file_by_image.setdefault(image, file)
        return None if other == file else f"received annotations of {image}, which {other} has already"

    def claimed(self) -> Set[str]:
        """The images that annotation files have."""
        return self._file_by_image.keys()

    def with_stem(self, stem: str, folder: str) -> str | None:
        """The image of that stem that is nearest to a folder, or None if there is none or several are equally near."""
        return _nearest(_as_list(self._images.get(stem)), folder)

    def has_stem(self, stem: str) -> bool:
        """Whether there is an image of that stem."""
        return stem in self._images

    def _named(self, folder: str, published: str) -> str | None:
        place = posixpath.normpath(posixpath.join(folder, published))
        if _is_image(place) and place in self._tree:
            return place
        path = PurePosixPath(published)
        names = _as_list(self._images.get(path.stem if _is_image(path.name) else path.name))
        if _is_image(path.name):
            names = [name for name in names if name.endswith(path.name)]
        # The folders that the annotation file states count as its own: train/1.jpg is not val/1.jpg.
        found = _nearest(names, posixpath.dirname(place)) or self._tree.find(published)
        return found if found is not None and _is_image(found) else None

    def _may_be_of(self, image: str, file: str) -> bool:
        """Whether an image is of the same split as an annotation file, and no file of the same stem is nearer to it."""
        folder, image_folder = _folder(file), _folder(image)
        if folder == image_folder:
            return True
        split, image_split = split_of_path(file), split_of_path(image)
        if split is not None and image_split is not None and split != image_split:
            return False
        rivals = self._rivals.get(_stem(image), [])
        return file not in rivals or file in _all_nearest(rivals, image_folder)

    def _has_file(self, image: str, file: str) -> bool:
        """Whether another file, beside this annotation file, has the stem of the image."""
        path = PurePosixPath(file)
        other = path.with_name(_stem(image) + path.suffix).as_posix()
        return other != file and other in self._tree


def _by_stem(names: Iterable[str]) -> dict[str, str | list[str]]:
    """The names of each stem. Lists are rare, and larger than a name."""
    by_stem: dict[str, str | list[str]] = {}
    for name in names:
        stem = _stem(name)
        known = by_stem.setdefault(stem, name)
        if isinstance(known, list):
            known.append(name)
        elif known != name:
            by_stem[stem] = [known, name]
    return by_stem


# pathlib would take most of the time of a look-up.
def _stem(name: str) -> str:
    base = name.rpartition("/")[2]
    return base.rpartition(".")[0] or base


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _as_list(names: str | list[str] | None) -> list[str]:
    return names if isinstance(names, list) else [] if names is None else [names]


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _nearest(names: list[str], folder: str) -> str | None:
    """The name whose folders have the most in common with `folder`; None if several have equally much."""
    nearest = names if len(names) == 1 else _all_nearest(names, folder)
    return nearest[0] if len(nearest) == 1 else None


def _all_nearest(names: list[str], folder: str) -> list[str]:
    parts = folder.split("/")

    def nearness(name: str) -> tuple[bool, int, int]:
        others = _folder(name).split("/")
        return parts == others, len({*parts} & {*others}), -len(others)

    best = max(map(nearness, names), default=None)
    return [name for name in names if nearness(name) == best]
