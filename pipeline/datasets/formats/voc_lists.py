"""Reads the lists of VOC, `ImageSets/Main/{train,val,trainval,test}.txt`: one name of an image per line."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.archives.member_lookup import with_slashes
from pipeline.core.errors import BoxlineError, truncate
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.datasets.formats.annotated_images import AnnotatedImages
from pipeline.datasets.formats.collector import AnnotationCollector
from pipeline.datasets.formats.split_names import NAMES, SPLITS

LISTS_FOLDER = "imagesets"
MAIN_FOLDER = "main"
TRAIN_AND_VAL = "trainval"
MAX_LIST_BYTES = 256 << 20

FLAGS = ("-1", "0", "1")
"""What follows the names in lists of a class: absent, difficult, present."""

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class ListedImage(NamedTuple):
    """A line of a list.

    Attributes:
        split: train, val or test.
        file: the list.
        line: from 1.

    """

    split: str
    file: str
    line: int


class ImageLists:
    """The lists of all folders `ImageSets`. Those of a folder hold for the files below the folder that it is in.

    Of an image in several lists, the first of train, val and test holds. Lists of single classes are not read.
    """

    def __init__(
        self, tree: FileTree, files: Sequence[str], images: AnnotatedImages, collector: AnnotationCollector
    ) -> None:
        """Read the lists.

        Args:
            tree: all files.
            files: the annotation files.
            images: finds their images.
            collector: takes what is passed over and refused.

        """
        self._images = images
        self._collector = collector
        self._listed: dict[str, dict[str, ListedImage]] = {}
        self.files: set[str] = set()
        lists = _find_lists(tree)
        self._file_stems = frozenset(PurePosixPath(file).stem for file in files) if lists else frozenset()
        for root, split, file in lists:
            self.files.add(file)
            try:
                text = _decode(tree.read(file, MAX_LIST_BYTES))
            except BoxlineError as error:
                collector.refuse(file, 0, str(error))
                continue
            self._read(root, split, file, text)

    def split_of(self, file: str) -> tuple[str | None, bool]:
        """The split of an annotation file, and whether a list names it or there are no lists for it."""
        roots = [root for root in self._listed if file.startswith(root)]
        if not roots:
            return None, True
        place = self._listed[max(roots, key=len)].get(PurePosixPath(file).stem)
        return (place.split, True) if place else (None, False)

    def without_file(self) -> Iterator[tuple[str, ListedImage]]:
        """The images that a list names and no annotation file describes. Names without an image are refused."""
        for root, places in self._listed.items():
            for stem, place in places.items():
                if stem in self._file_stems:
                    continue
                image = self._images.with_stem(stem, f"{root}JPEGImages")
                if image is not None:
                    yield image, place
                    continue
                reason = f"received the name {truncate(repr(stem))}, expected that of one image or annotation file"
                self._collector.refuse(place.file, place.line, reason, split=place.split, is_image=True)

    def _read(self, root: str, split: str, file: str, text: str) -> None:
        places = self._listed.setdefault(root, {})
        for line, content in enumerate(text.splitlines(), 1):
            if content.strip():
                stem = self._stem(content.strip())
                place = places.setdefault(stem, ListedImage(split, file, line))
                if (place.file, place.line) != (file, line):
                    self._collector.pass_over("names that a list before has already", f"{file}, line {line}: {stem}")

    def _stem(self, content: str) -> str:
        """The stem of the image that a line names."""
        name, _, flag = content.rpartition(" ")
        stem = _without_suffix(content)
        if flag in FLAGS and not (stem in self._file_stems or self._images.has_stem(stem)):
            return _without_suffix(name.strip())
        return stem


def _find_lists(tree: FileTree) -> list[tuple[str, str, str]]:
    """Root, split and name of each list that is read, in the order train, val, test."""
    by_root: dict[str, dict[str, list[str]]] = {}
    for name in with_suffix(tree.names(), ".txt"):
        path = PurePosixPath(name)
        folders = [part.lower() for part in path.parts[:-1]]
        if folders[-2:] == [LISTS_FOLDER, MAIN_FOLDER]:
            root = "/".join(path.parts[:-3])
            split = NAMES.get(path.stem.lower(), path.stem.lower())
            by_root.setdefault(f"{root}/" if root else "", {}).setdefault(split, []).append(name)
    lists = []
    for root, names in by_root.items():
        if not names.keys() & {"train", "val"}:
            names["train"] = names.get(TRAIN_AND_VAL, [])
        lists += [(root, split, name) for split in SPLITS for name in names.get(split, [])]
    return lists


def _decode(content: bytes) -> str:
    """The text; what is not UTF-8 fits no name, and is refused as such."""
    return content.decode("utf-16" if content.startswith(UTF16_MARKS) else "utf-8-sig", "replace")


def _without_suffix(name: str) -> str:
    base = with_slashes(name).rpartition("/")[2]
    return base.rpartition(".")[0] if base.lower().endswith((*IMAGE_SUFFIXES, ".xml")) else base
