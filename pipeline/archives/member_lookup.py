"""The only look-up of files by name: members of archives, files of a folder, and images that a user names.

Annotations and archives often come from different machines. A name then differs from that of its file in case, in its
Unicode form (macOS decomposes "ö"), in its separators (Windows), in a leading `./`, in spaces around it, in folders in
front of it, in its percent-encoding, or in the encoding of an archive whose names are not marked as UTF-8. Such a name
is found if it fits exactly one file; several that fit are never guessed from.
"""

import difflib
import unicodedata
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from functools import cached_property
from pathlib import PurePosixPath
from urllib.parse import unquote

from pipeline.core.errors import BoxlineError, join_items

LEGACY_ENCODINGS = ("cp932", "euc_jp", "gb18030", "cp949", "big5", "cp1252", "cp850", "cp852", "cp1251", "cp866")
"""Encodings of names in archives of older programs: Japanese (Windows and Unix), Chinese, Korean, Traditional Chinese,
Western (Windows and DOS), Central European (DOS), Cyrillic (Windows and DOS). The Explorer of Windows uses DOS's."""

MAX_PARTS = 32
"""Folders of a name that are compared, counted from its end."""

MAX_NEAREST_SEARCHES = 500
"""Nearest names that are searched per look-up; each takes a millisecond, and no one reads 100,000 of them."""

MAX_FITS = 16
"""Fitting names among which those of the same case are looked for."""

NEIGHBORS = 12
"""Names compared with a missing one in each direction of each of two sorted lists."""

MAX_COMPARED_CHARACTERS = 200
MIN_SIMILARITY = 0.6

END = "\0"
"""Ends each key, so that a whole key can be told from the beginning of a longer one."""


class NameLookupError(BoxlineError):
    """A name that fits no file, or several.

    Attributes:
        hint: what fits or comes nearest, to be appended to "... not found"; empty if nothing is similar.

    """

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f"{name} not found{hint}.")
        self.hint = hint


class NameLookup:
    """Finds names in a fixed collection of names.

    An exact look-up costs one hash; the index for all others is built when the first of them is needed, and takes about
    a second per 100,000 names.
    """

    def __init__(self, names: Collection[str], names_without_encoding: Mapping[str, bytes] | None = None) -> None:
        """Prepare the look-up of exact names.

        Args:
            names: the names. A set or mapping is not copied, since it may have a million names.
            names_without_encoding: the bytes of those of `names` whose encoding nothing states.

        """
        self._names = names if isinstance(names, Set | Mapping) else frozenset(names)
        self._names_without_encoding = names_without_encoding or {}
        self._nearest_searches = 0

    def find(self, name: str, folder: str = "") -> str:
        """Return the one of the names that `name` stands for.

        Args:
            name: the name, possibly with folders in front that only its author's machine has.
            folder: the folder of the file among the names, if it is known; empty or with a slash at its end.

        Raises:
            NameLookupError: if no name fits, or several do.

        """
        fits = self.fits(name, folder)
        if len(fits) == 1:
            return fits[0]
        raise NameLookupError(folder + name, _ambiguous(fits) if fits else self._nearest_hint(folder + name))

    def fits(self, name: str, folder: str = "") -> list[str]:
        """Return the names that fit best, from the most literal reading of `name` to the least; see `find`."""
        if folder + name in self._names:
            return [folder + name]
        for text in dict.fromkeys((name, unquote(name))):
            for parts, may_have_folders_in_front in self._readings(_parts(text), _parts(folder) if folder else []):
                fits = self._with_parts(parts) or (self._ending_with(parts) if may_have_folders_in_front else [])
                if fits:
                    return fits
        return []

    def nearest(self, name: str) -> str | None:
        """Return the most similar of the names, or None if none is similar. Compares a few dozen names only."""
        candidates = [self._ordered_names[row] for row in self._neighbors(name)]
        stems = {candidate: _stem(candidate) for candidate in candidates}
        matches = difflib.get_close_matches(_stem(name), set(stems.values()), n=1, cutoff=MIN_SIMILARITY)
        equal = [candidate for candidate, stem in stems.items() if stem in matches]
        matcher = difflib.SequenceMatcher(b=name[-MAX_COMPARED_CHARACTERS:], autojunk=False)

        def similarity(candidate: str) -> float:
            matcher.set_seq1(candidate[-MAX_COMPARED_CHARACTERS:])
            return matcher.ratio()

        return max(sorted(equal), key=similarity, default=None)

    def _readings(self, parts: list[str], folder: list[str]) -> Iterator[tuple[list[str], bool]]:
        """What the name may stand for, and whether the file may have more folders in front.

        Either the name or the file may have folders in front that the other lacks, but not both unless the known folder
        is between them: b/1.jpg is not a/1.jpg.
        """
        for start in range(len(parts)):
            yield [*folder, *parts[start:]], bool(folder) or start == 0
            if folder:
                yield parts[start:], False
        if folder and self._only_folder:
            yield [*self._only_folder, *parts], False

    def _with_parts(self, parts: list[str]) -> list[str]:
        return self._with_prefix(_reversed_key(parts) + END, parts)

    def _ending_with(self, parts: list[str]) -> list[str]:
        return self._with_prefix(_reversed_key(parts), parts)

    def _with_prefix(self, prefix: str, parts: list[str]) -> list[str]:
        """The names whose key begins with the prefix; of several, those in which the parts have the same case, if any.

        At most MAX_FITS + 1 names, and then without regard to case.
        """
        fits: dict[str, None] = {}
        for row in range(bisect_left(self._ordered_keys, prefix), len(self._ordered_keys)):
            if not self._ordered_keys[row].startswith(prefix) or len(fits) > MAX_FITS:
                break
            fits[self._ordered_names[row]] = None
        same_case = [name for name in fits if _parts(name)[-len(parts) :] == parts]
        return same_case if same_case and len(fits) <= MAX_FITS else list(fits)

    @cached_property
    def _index(self) -> tuple[list[str], list[str]]:
        """The keys in their order, and their names; names without an encoding have a key per reading."""
        pairs = [(_reversed_key(_parts(name)) + END, name) for name in self._names]
        for name, content in self._names_without_encoding.items():
            pairs += [(_reversed_key(_parts(reading)) + END, name) for reading in _legacy_readings(content)]
        pairs.sort()
        return [key for key, _ in pairs], [name for _, name in pairs]

    @property
    def _ordered_keys(self) -> list[str]:
        return self._index[0]

    @property
    def _ordered_names(self) -> list[str]:
        return self._index[1]

    @cached_property
    def _only_folder(self) -> list[str]:
        """The folder that holds everything; empty if there is none."""
        # What macOS adds to its archives is beside that folder.
        folders = [parts[:-1] for parts in map(_parts, self._names) if parts[0] != "__MACOSX"]
        if not folders:
            return []
        first, last = min(folders), max(folders)  # all others are between them
        return first[: _num_equal(first, last)]

    def _nearest_hint(self, name: str) -> str:
        if self._nearest_searches == MAX_NEAREST_SEARCHES:
            return ""
        self._nearest_searches += 1
        nearest = self.nearest(name)
        if nearest is None:
            return ""
        if not _look_alike(name, nearest):
            return f"; the nearest name is {nearest!r}"
        return f"; the nearest name is {nearest!a}, which is not {name!a}"

    def _neighbors(self, name: str) -> Iterator[int]:
        """The rows of names that begin or end like this one."""
        key = _reversed_key(_parts(name))
        position = bisect_left(self._ordered_keys, key)
        yield from range(max(0, position - NEIGHBORS), min(len(self._ordered_keys), position + NEIGHBORS))
        position = bisect_left(self._ordered_endings, (_stem(name)[::-1], 0))
        for _, row in self._ordered_endings[max(0, position - NEIGHBORS) : position + NEIGHBORS]:
            yield row

    @cached_property
    def _ordered_endings(self) -> list[tuple[str, int]]:
        return sorted((_stem(name)[::-1], row) for row, name in enumerate(self._ordered_names))


def nearest_name(name: str, names: Collection[str]) -> str | None:
    """Return the most similar of the names, or None if none is similar."""
    return NameLookup(names).nearest(name)


def with_slashes(name: str) -> str:
    r"""Return a name with slashes between its parts, and without `./`.

    >>> with_slashes(r"train2017\a.jpg"), with_slashes("./train2017//a.jpg")
    ('train2017/a.jpg', 'train2017/a.jpg')
    """
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _parts(name: str) -> list[str]:
    """The last MAX_PARTS parts in one Unicode form, without the spaces around them."""
    text = name if name.isascii() else unicodedata.normalize("NFC", name)
    parts = with_slashes(text).split("/")[-MAX_PARTS:]
    return [part.strip() for part in parts]


def _reversed_key(parts: Sequence[str]) -> str:
    """The parts without case, the last one first: names that end alike begin alike here.

    Case is folded in the decomposed form, as Unicode defines a comparison without case.
    """
    text = "".join(f"{part}/" for part in reversed(parts))
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


def _legacy_readings(content: bytes) -> Iterator[str]:
    for encoding in LEGACY_ENCODINGS:
        try:
            yield content.decode(encoding)
        except UnicodeDecodeError:
            continue


def _stem(name: str) -> str:
    """What `nearest` compares first: the file's own name without suffix and without case."""
    return PurePosixPath(_reversed_key(_parts(name)[-1:])).stem[:MAX_COMPARED_CHARACTERS]


def _ambiguous(fits: list[str]) -> str:
    shown = map(ascii if _look_alike(*fits[:2]) else repr, fits)
    return f" by this name, and {len(fits) if len(fits) <= MAX_FITS else 'many'} fit: {join_items(shown, limit=3)}"


def _look_alike(one: str, other: str) -> bool:
    """Whether the names differ in characters that a reader may not tell apart."""
    start = _num_equal(one, other)
    end = _num_equal(one[start:][::-1], other[start:][::-1])
    differing = one[start : len(one) - end] + other[start : len(other) - end]
    return not differing.isascii() or differing.isspace()


def _num_equal(one: Sequence[str], other: Sequence[str]) -> int:
    """How many items at the start are equal."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (item, other_item) in pairs if item != other_item), min(len(one), len(other)))
