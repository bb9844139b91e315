"""Splits by the names of files and folders: `valid/`, `train.txt`, `instances_val2017.json`, `test_labels.csv`."""

import re
from functools import lru_cache

SPLITS = ("train", "val", "test")

NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}

WORD = re.compile(r"[a-z]+")


def split_named(text: str) -> str | None:
    """The split that a word of the text names, or None if there is none or there are several.

    >>> [split_named(text) for text in ("valid", "instances_train2017", "Training set", "pretrained", "trainval")]
    ['val', 'train', 'train', None, None]
    """
    found = {NAMES[word] for word in WORD.findall(text.lower()) if word in NAMES}
    return found.pop() if len(found) == 1 else None


def split_of_path(name: str) -> str | None:
    """The split that the nearest of the folders of a file names, or None.

    >>> split_of_path("aquarium/valid/images/test.jpg"), split_of_path("images/train.jpg")
    ('val', None)
    """
    return _split_of_folder(name.rpartition("/")[0])


@lru_cache(maxsize=4096)  # a million images are in a few folders
def _split_of_folder(folder: str) -> str | None:
    return next((split for part in reversed(folder.split("/")) if (split := split_named(part))), None)
