"""Names of files that come from outside: as long as the file system allows, and unique on every file system."""

import itertools
import os
import re
import unicodedata
from pathlib import Path, PurePosixPath

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".ppm", ".pgm")
"""Ends of the names of images, in lower case."""

ANNOTATION_SUFFIXES = (
    *(".json", ".jsonl", ".xml", ".txt", ".csv", ".tsv", ".yaml", ".yml"),
    *(".pbtxt", ".names", ".labels", ".data"),
)
"""Ends of the names of annotations in any format, and of lists of classes or images, in lower case."""

RECORD_NAME = re.compile(
    r".*(\.(record|records|tfrec|tfrecord|tfrecords)|-[0-9]{5}-of-[0-9]{5})", re.IGNORECASE | re.DOTALL
)
"""Names of TFRecord files. Large sets are split into numbered files, with a suffix or without one."""

COMMON_MAX_NAME_BYTES = 255
"""The longest name on almost all file systems; encrypted ones allow less."""


def is_record_name(name: str) -> bool:
    """Whether a file is a TFRecord file by its name.

    >>> [is_record_name(name) for name in ("a/train.record", "val.tfrecord-00000-of-00010", "val-00000-of-00010")]
    [True, True, True]
    """
    return RECORD_NAME.fullmatch(name) is not None


def max_name_bytes(folder: Path) -> int:
    """The length in bytes of the longest file name in a folder, which need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    try:
        return os.pathconf(existing, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):  # unknown to this file system or operating system
        return COMMON_MAX_NAME_BYTES


def cut_to_bytes(text: str, max_bytes: int) -> str:
    """The longest start of a text that fits into `max_bytes` as UTF-8, without a part of a character.

    A character and the accents that are written after it are kept or dropped together.

    >>> cut_to_bytes("Köln", 3), cut_to_bytes("Köln", 2), cut_to_bytes("Ko\u0308ln", 3)
    ('Kö', 'K', 'K')
    """
    sizes = itertools.accumulate(len(character.encode(errors="surrogatepass")) for character in text)
    length = sum(1 for _ in itertools.takewhile(lambda size: size <= max_bytes, sizes))
    if length == len(text):
        return text
    whole = length
    while whole and unicodedata.combining(text[whole]):
        whole -= 1
    return text[: whole or length]


def harmless_stem(path: str) -> str:
    r"""The name of a file without folders and suffix, made of harmless characters.

    >>> [harmless_stem(path) for path in ("a/cat.jpg", "b/c t.png", "../..", "C:\\a.jpg")]
    ['cat', 'c_t', 'image', 'C_a']
    """
    return re.sub(r"[^\w.-]+", "_", PurePosixPath(path).stem).strip("._-") or "image"


class UniqueStems:
    """Hands out stems of file names in one folder, none of them twice and none too long.

    Stems that differ only in case or Unicode form count as equal, since some file systems do not distinguish them.
    """

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` is the length of the longest stem in bytes."""
        self._max_bytes = max_bytes
        self._taken: set[str] = set()
        self._next_numbers: dict[str, int] = {}

    def add(self, stem: str) -> str:
        """Return the stem, cut and with a number behind it where necessary.

        >>> stems = UniqueStems(6)
        >>> [stems.add(stem) for stem in ("cat", "Cat", "elephant", "elephants", "cat")]
        ['cat', 'Cat-2', 'elepha', 'elep-2', 'cat-3']
        """
        unique = cut_to_bytes(stem, self._max_bytes)
        base = _folded(unique)
        number = self._next_numbers.get(base, 2)
        while _folded(unique) in self._taken:
            ending = f"-{number}"
            unique = cut_to_bytes(stem, self._max_bytes - len(ending)) + ending
            number += 1
        self._next_numbers[base] = number
        self._taken.add(_folded(unique))
        return unique


def _folded(stem: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", stem).casefold())
