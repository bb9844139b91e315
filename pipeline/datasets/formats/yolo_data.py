"""What a dataset of YOLO states about itself: `data.yaml`, or lists of class names and of images beside the labels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pipeline.archives.file_tree import FileTree, with_suffix
from pipeline.core.errors import BoxlineError, join_items, truncate
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.datasets.formats.split_names import NAMES, SPLITS, split_named
from pipeline.datasets.formats.yaml_file import read_yaml

DATA_FILES = ("data.yaml", "data.yml")
MAX_DATA_FILES = 50
"""YAML files that are looked into."""

NAMES_FILES = ("classes.txt", "obj.names", "_darknet.labels", "classes.names")
MAX_NAMES_BYTES = 1 << 20
MAX_LIST_BYTES = 1 << 30
HEAD_BYTES = 4096

CLASS_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True)
class YoloData:
    """What the files state about the dataset.

    Attributes:
        file: the file that states it; empty if there is none.
        names: the class names by their indices; None if they are not stated.
        splits: folders and lists of images of each split, as stated, in the order train, val, test.
        root: `path`, the folder that those are in, as stated.
        keypoint_values: numbers of key points that follow each box.
        names_files: the files that list the names, if `file` does not.
        problem: what is wrong in `file`; empty if nothing is.

    """

    file: str = ""
    names: Mapping[int, str] | None = None
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    root: str = ""
    keypoint_values: int = 0
    names_files: Sequence[str] = ()
    problem: str = ""

    @property
    def folder(self) -> str:
        """The folder of `file`, empty or with a slash at its end."""
        return self.file[: self.file.rfind("/") + 1]


def find_data_files(tree: FileTree) -> list[str]:
    """The files that describe a dataset of YOLO: of this name, or with class names and splits; nearest to the root."""
    files = sorted(with_suffix(tree.names(), ".yaml", ".yml"), key=lambda name: (name.count("/"), name))
    named = [name for name in files if PurePosixPath(name).name.lower() in DATA_FILES]
    return named or [name for name in files[:MAX_DATA_FILES] if _describes_dataset(tree, name)]


def read_data(tree: FileTree, file: str | None) -> YoloData:
    """Read the file that describes the dataset, or what stands for it.

    Args:
        tree: the files.
        file: the file that the options name; None to look for it.

    Raises:
        BoxlineError: if there are several, or it cannot be read.

    """
    files = [file] if file is not None else find_data_files(tree)
    if len(files) > 1:
        raise BoxlineError(
            f"there are several files that describe a dataset: {join_items(files)}. "
            "Name one of them: options: {data: " + files[0] + "}."
        )
    if not files:
        names, names_files = _listed_names(tree)
        return YoloData(names=names, names_files=names_files)
    [file] = files
    if file not in tree:
        raise BoxlineError(f"options.data: {file} not found; expected the name of a YAML file in the source.")
    values = read_yaml(tree, file)
    names, names_files = _names(file, values.get("names")), []
    problem = ""
    num_classes = values.get("nc")
    if names is None:
        names, names_files = _listed_names(tree)
    elif num_classes is not None and num_classes != len(names):
        problem = (
            f"received nc: {truncate(repr(num_classes))} and {len(names)} names, expected as many; the names count"
        )
    splits: dict[str, list[str]] = {}
    for key, value in values.items():
        if split := NAMES.get(key.lower()):
            splits.setdefault(split, []).extend(_paths(file, key, value))
    return YoloData(
        file,
        names,
        {split: splits[split] for split in SPLITS if splits.get(split)},
        _text(file, "path", values.get("path") or ""),
        _keypoint_values(file, values.get("kpt_shape")),
        names_files,
        problem,
    )


def find_image_lists(tree: FileTree) -> dict[str, str]:
    """The split of each text file that is named after one and lists images: `train.txt`."""
    lists = {}
    for name in with_suffix(tree.names(), ".txt"):
        split = split_named(PurePosixPath(name).stem)
        if split and PurePosixPath(name).stem.lower() in NAMES and _lists_images(tree, name):
            lists[name] = split
    return lists


def is_names_file(name: str) -> bool:
    """Whether the file lists class names."""
    return name[name.rfind("/") + 1 :].lower() in NAMES_FILES


def _lists_images(tree: FileTree, name: str) -> bool:
    lines = tree.read(name, MAX_LIST_BYTES)[:HEAD_BYTES].decode(errors="replace").split("\n")
    return next((line for line in lines if line.strip()), "").strip().lower().endswith(IMAGE_SUFFIXES)


def _describes_dataset(tree: FileTree, name: str) -> bool:
    try:
        values = read_yaml(tree, name)
    except BoxlineError:
        return False
    has_split = any(isinstance(values.get(key), str | list) for key in NAMES)
    return has_split and ("names" in values or "nc" in values)


def _listed_names(tree: FileTree) -> tuple[Mapping[int, str] | None, list[str]]:
    """The class names of the lists in the tree, which are the same in all of them, and these lists."""
    first: tuple[str, list[str]] | None = None
    files = [name for name in tree.names() if is_names_file(name)]
    for file in files:
        text = tree.read(file, MAX_NAMES_BYTES).decode("utf-8-sig", errors="replace")
        names = [line.strip() for line in text.rstrip().splitlines()]
        if first and first[1] != names:
            raise BoxlineError(
                f"{first[0]} and {file} list other class names, expected the same; "
                "correct one of them, or write the names into a data.yaml."
            )
        first = first or (file, names)
    return ({index: name for index, name in enumerate(first[1]) if name} if first else None), files


def _names(file: str, value: Any) -> Mapping[int, str] | None:
    if value is None:
        return None
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        raise BoxlineError(f"{file}, names: received {truncate(repr(value))}, expected a list of class names.")
    names = {}
    for key, name in value.items():
        if isinstance(key, bool) or not CLASS_NUMBER.fullmatch(str(key)):
            raise BoxlineError(f"{file}, names: received the key {truncate(repr(key))}, expected a class index.")
        if isinstance(name, list | dict):
            raise BoxlineError(f"{file}, names.{key}: received {truncate(repr(name))}, expected a class name.")
        if name is not None and str(name).strip():
            names[int(key)] = str(name).strip()
    return {index: names[index] for index in sorted(names)}


def _paths(file: str, key: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [_text(file, key, one) for one in values if one is not None and one != ""]


def _text(file: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BoxlineError(f"{file}, {key}: received {truncate(repr(value))}, expected the path of a folder or file.")
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _keypoint_values(file: str, value: Any) -> int:
    """The product of a shape such as [17, 3]; 0 without one."""
    if value is None:
        return 0
    if isinstance(value, list) and len(value) == 2 and all(_is_count(one) and one <= 1000 for one in value):
        return int(value[0] * value[1])
    raise BoxlineError(f"{file}, kpt_shape: received {truncate(repr(value))}, expected two numbers, such as [17, 3].")
