"""Unifies the categories of several COCO files."""

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow.compute as pc

from pipeline.datasets.formats.coco import MAX_CATEGORY_ID, InstanceTables

NOT_KEPT = 0
"""The id of a class that is not to be read."""


class Entry(NamedTuple):
    """A category as a file lists it. The name is in Unicode's composed form."""

    published_id: int
    name: str


@dataclass(frozen=True)
class Categories:
    """The categories of all files.

    Attributes:
        names: name by id in the tables, in ascending order of ids.
        supercategories: the same for supercategories; empty where there is none.
        ids: the id in the tables of each entry, or NOT_KEPT.
        of_files: per file, its entries by their ids in the file.
        refused: per file, the entries that are refused: their numbers from 0, and the reasons.
        parents: the names of classes that are left out, because no box has them and they only group others.

    """

    names: Mapping[int, str]
    supercategories: Mapping[int, str]
    ids: Mapping[Entry, int]
    of_files: Sequence[Mapping[int, Entry]]
    refused: Sequence[Sequence[tuple[int, str]]]
    parents: Sequence[str]


def unify_categories(files: Sequence[InstanceTables], classes: Sequence[str] = ()) -> Categories:
    """Find the id in the tables of each category of each file.

    Ids are kept if the files agree about the ids of every name, plus one if they start at 0. Otherwise, or if an id
    does not fit the tables, categories are numbered from 1 in the order of the files and of their ids, and a name is
    one class. A file may leave out categories that another one lists.

    Args:
        files: the decoded files.
        classes: the only classes to keep, which are numbered from 1 in their order; all if empty.

    """
    wanted = [_composed(name) for name in classes]
    refused = [_refused_entries(file) for file in files]
    listed = [_entries(file, {number for number, _ in of_file}) for file, of_file in zip(files, refused, strict=True)]
    entries = list(dict.fromkeys(entry for of_file in listed for entry in sorted(of_file.values())))
    supercategories = _supercategories(files)
    parents = _parents(entries, supercategories, _used(files, listed), wanted)
    kept = [entry for entry in entries if entry not in parents]
    if wanted:
        ids = {entry: wanted.index(entry.name) + 1 if entry.name in wanted else NOT_KEPT for entry in kept}
        names = dict(enumerate(wanted, 1))
    else:
        ids = _published_ids(kept, listed) or _new_ids(kept)
        names = dict(sorted((ids[entry], entry.name) for entry in kept))
    groups = {ids[entry]: supercategories[entry] for entry in reversed(kept) if supercategories[entry]}
    return Categories(
        names=names,
        supercategories={category_id: groups.get(category_id, "") for category_id in names},
        ids=ids,
        of_files=[_with_entries_of_others(file, of_file, kept) for file, of_file in zip(files, listed, strict=True)],
        refused=refused,
        parents=[entry.name for entry in parents],
    )


def _composed(name: str) -> str:
    """The form in which names are compared: macOS decomposes letters, and both forms look the same."""
    return unicodedata.normalize("NFC", name)


def _refused_entries(file: InstanceTables) -> list[tuple[int, str]]:
    """Categories without an id, and those whose id has another name in the same file."""
    refused = {one.number: f"{one.key}: {one.problem}" for one in file.unreadable if one.list_name == "categories"}
    names: dict[int, set[str]] = defaultdict(set)
    for number, category in enumerate(file.categories):
        if number not in refused:
            names[category.id].add(_composed(category.name))
    for number, category in enumerate(file.categories):
        if number not in refused and len(names[category.id]) > 1:
            shown = ", ".join(map(repr, sorted(names[category.id])))
            refused[number] = f"id: received {category.id}, which has several names in this file: {shown}"
    return sorted(refused.items())


def _entries(file: InstanceTables, left_out: Collection[int]) -> dict[int, Entry]:
    categories = (category for number, category in enumerate(file.categories) if number not in left_out)
    return {category.id: Entry(category.id, _composed(category.name)) for category in categories}


def _supercategories(files: Iterable[InstanceTables]) -> dict[Entry, str]:
    """The first that any file states for an entry; empty if none does."""
    found: dict[Entry, str] = defaultdict(str)
    for file in files:
        for category in file.categories:
            entry = Entry(category.id, _composed(category.name))
            found[entry] = found[entry] or category.supercategory
    return found


def _used(files: Sequence[InstanceTables], listed: Sequence[Mapping[int, Entry]]) -> set[Entry]:
    """The entries that boxes have."""
    return {
        of_file[category_id]
        for file, of_file in zip(files, listed, strict=True)
        for category_id in pc.unique(file.boxes["category_id"]).to_pylist()
        if category_id in of_file
    }


def _parents(
    entries: Sequence[Entry], supercategories: Mapping[Entry, str], used: Collection[Entry], wanted: Collection[str]
) -> list[Entry]:
    """The entries without boxes that are the supercategory of another one, as in exports of Roboflow."""
    groups: dict[str, set[Entry]] = defaultdict(set)
    for entry in entries:
        groups[_composed(supercategories[entry])].add(entry)
    return [
        entry
        for entry in entries
        if entry not in used and entry.name not in wanted and groups.get(entry.name, set()) - {entry}
    ]


def _published_ids(kept: Sequence[Entry], listed: Sequence[Mapping[int, Entry]]) -> dict[Entry, int] | None:
    """The ids of the files, plus one if they start at 0; None if the files disagree or an id does not fit."""
    ids_of_names: dict[str, set[frozenset[int]]] = defaultdict(set)
    for of_file in listed:
        ids_in_file: dict[str, set[int]] = defaultdict(set)
        for entry in of_file.values():
            ids_in_file[entry.name].add(entry.published_id)
        for name, ids in ids_in_file.items():
            ids_of_names[name].add(frozenset(ids))
    published = [entry.published_id for entry in kept]
    if len(set(published)) < len(published) or any(len(variants) > 1 for variants in ids_of_names.values()):
        return None
    first = min(published, default=1)
    shift = 1 if first == 0 else 0
    if first < 0 or max(published, default=1) + shift > MAX_CATEGORY_ID:
        return None
    return {entry: entry.published_id + shift for entry in kept}


def _new_ids(kept: Iterable[Entry]) -> dict[Entry, int]:
    numbers: dict[str, int] = {}
    return {entry: numbers.setdefault(entry.name, len(numbers) + 1) for entry in kept}


def _with_entries_of_others(
    file: InstanceTables, of_file: Mapping[int, Entry], kept: Iterable[Entry]
) -> dict[int, Entry]:
    """The entries of a file, and for ids that it does not list those of the other files, if they say one thing."""
    of_others: dict[int, list[Entry]] = defaultdict(list)
    for entry in kept:
        of_others[entry.published_id].append(entry)
    for category in file.categories:
        of_others.pop(category.id, None)
    return {category_id: found[0] for category_id, found in of_others.items() if len(found) == 1} | dict(of_file)
