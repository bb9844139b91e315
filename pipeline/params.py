"""params.yaml, read once and checked: frozen sections, unknown keys refused, every complaint named with its path.

This module knows the shape that all datasets and systems share. What is inside `sample`, `targets`, `model` and so on
is declared beside the code that uses it, so that a new option of one system reruns nothing of another.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import Meta
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import BoxlineError, listed

PARAMS_FILE = Path("params.yaml")

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section: immutable, by keyword, no unknown keys."""


class Dataset(Section, frozen=True):
    """One entry of `datasets:`. `module` is a folder of pipeline/datasets; the rest, one part per stage."""

    module: Name
    source: str
    sample: dict[str, Any]
    validate: dict[str, Any]


class System(Section, frozen=True):
    """One entry of `systems:`. `module` is a folder of pipeline/systems, `dataset` a key of `datasets:`."""

    module: Name
    dataset: Name
    task: Name
    pack: dict[str, Any]
    targets: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]
    evaluate: dict[str, Any]


class Params(Section, frozen=True):
    """The whole file."""

    seed: NonNegativeInt
    datasets: dict[Name, Dataset]
    systems: dict[Name, System]

    def dataset(self, name: str) -> Dataset:
        """The section of that dataset, or an error that lists the known ones."""
        return _entry(self.datasets, "datasets", name)

    def system(self, name: str) -> System:
        """The section of that system, or an error that lists the known ones."""
        return _entry(self.systems, "systems", name)


def load(path: Path = PARAMS_FILE) -> Params:
    """The checked file. Raises BoxlineError where it is missing, is no YAML or does not have this shape."""
    try:
        # YAML 1.2, as DVC reads it: 2e-4 is a number here and text in YAML 1.1.
        raw = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise BoxlineError(f"{path} not found. Run this from the project's root folder.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise BoxlineError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    params = section(raw, Params, where="", path=path)
    for name, system in params.systems.items():
        if name in params.datasets:
            raise BoxlineError(f"{path}: {name} names a dataset and a system; each needs a folder of its own.")
        if system.dataset not in params.datasets:
            raise BoxlineError(
                f"{path}: systems.{name}.dataset: received {system.dataset!r}, "
                f"expected a key of datasets ({listed(params.datasets)})."
            )
    return params


SectionType = TypeVar("SectionType", bound=Section)


def section(raw: object, kind: type[SectionType], where: str, path: Path = PARAMS_FILE) -> SectionType:
    """The part of the file at dotted key `where` as its checked section; `path` only names the file in messages."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise BoxlineError(f"{path}: {_explain(str(error), raw, kind, where)}") from None


def _explain(message: str, raw: object, kind: type[Section], where: str) -> str:
    """Msgspec's words ("Expected `int`, got `str` - at `$.train.epochs`") with the key and the value received."""
    complaint, _, pointer = message.partition(" - at ")
    # A map's members appear as [...]; msgspec leaves the key out, so look for it in the data.
    keys = _resolve(re.findall(r"\w+|\[\.\.\.\]", pointer), raw, kind)
    key = ".".join(filter(None, [where, *keys])) or "the file"
    unknown = re.search(r"unknown field `(\w+)`", complaint)
    if unknown:
        known = [field.name for field in msgspec.structs.fields(_kind_at(kind, keys))]
        guesses = difflib.get_close_matches(unknown[1], known, n=1)
        hint = f" Did you mean {guesses[0]}?" if guesses else ""
        return f"{key}: unknown key {unknown[1]!r}, expected one of {listed(known)}.{hint}"
    missing = re.search(r"missing required field `(\w+)`", complaint)
    if missing:
        return f"{key}: the key {missing[1]!r} is missing."
    value = raw
    for part in keys:
        value = value[part] if isinstance(value, dict) else value
    if complaint.startswith("Invalid enum value"):
        expected = f"one of {listed(get_args(_kind_at(kind, keys)))}"
    else:
        expected = complaint.removeprefix("Expected ").partition(", got")[0].replace("`", "")
    return f"{key}: received {value!r}, expected {expected}."


def _resolve(pointer: list[str], raw: object, kind: type[Section]) -> list[str]:
    """The pointer's steps with each "[...]" replaced by the first key whose member is not valid."""
    keys: list[str] = []
    value: Any = raw
    for step in pointer:
        if step == "[...]":
            annotation = {field.name: field.type for field in msgspec.structs.fields(kind)}[keys[-1]]
            step = next(key for key in value if not _is_valid({key: value[key]}, annotation))
        keys.append(str(step))
        value = value.get(step) if isinstance(value, dict) else None
    return keys


def _is_valid(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _kind_at(kind: type[Section], keys: list[str]) -> Any:
    """The type that describes the part of the file at `keys`."""
    current: Any = kind
    for key in keys:
        if isinstance(current, type) and issubclass(current, msgspec.Struct):
            current = {field.name: field.type for field in msgspec.structs.fields(current)}[key]
        else:
            current = current.__args__[1]  # dict[Name, Dataset] -> Dataset
    return current


Entry = TypeVar("Entry", Dataset, System)


def _entry(entries: dict[str, Entry], group: str, name: str) -> Entry:
    if name not in entries:
        raise BoxlineError(f"{PARAMS_FILE}: {group} has no entry {name!r}; known are {listed(entries)}.")
    return entries[name]
