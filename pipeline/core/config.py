"""params.yaml, read once and checked: frozen sections, unknown keys refused, every complaint named with its path.

This module knows the shape that all datasets and systems share. What is inside `sample`, `targets`, `model` and so on
is declared beside the code that uses it, so that a new option of one system reruns nothing of another.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.errors import BoxlineError, join_items

PARAMS_FILE = Path("params.yaml")

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
NonNegativeFloat = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
NAME_PATTERN = "^[a-z][a-z0-9_]*$"
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section: immutable, by keyword, no unknown keys."""


class DatasetConfig(Config, frozen=True):
    """One entry of `datasets:`. `module` is a folder of pipeline/datasets. `source` and `sample` are what
    download reads, `validate` what validate reads.
    """

    module: Name
    source: str
    sample: dict[str, Any]
    validate: dict[str, Any]


class SystemConfig(Config, frozen=True):
    """One entry of `systems:`. `module` is a folder of pipeline/systems, `dataset` a key of `datasets:`."""

    module: Name
    dataset: Name
    task: Name
    pretrained: dict[str, Any] | None
    pack: dict[str, Any]
    targets: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]
    evaluate: dict[str, Any]


class Params(Config, frozen=True, kw_only=True):
    """The whole file. `checks` are those of all datasets, needed where one is validated; a dataset's `validate` says
    what is different there.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    checks: dict[Name, dict[str, Any]] = msgspec.field(default_factory=dict)
    datasets: dict[Name, DatasetConfig]
    systems: dict[Name, SystemConfig]

    def dataset(self, name: str) -> DatasetConfig:
        """The section of that dataset, or an error that lists the known ones."""
        return _entry(self.datasets, "datasets", name)

    def system(self, name: str) -> SystemConfig:
        """The section of that system, or an error that lists the known ones."""
        return _entry(self.systems, "systems", name)


def load_params(path: Path = PARAMS_FILE) -> Params:
    """The checked file. Raises BoxlineError where it is missing, is no YAML or does not have this shape."""
    try:
        # YAML 1.2, as DVC reads it: 2e-4 is a number here and text in YAML 1.1.
        raw = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise BoxlineError(f"{path} not found. Run this from the project's root folder.") from None
    except IsADirectoryError:
        raise BoxlineError(f"{path} is a folder, expected a YAML file.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise BoxlineError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    _require_names(raw, path)
    params = parse_config(raw, Params, where="", path=path)
    for name, system in params.systems.items():
        if name in params.datasets:
            raise BoxlineError(f"{path}: {name} names a dataset and a system; each needs a folder of its own.")
        if system.dataset not in params.datasets:
            raise BoxlineError(
                f"{path}: systems.{name}.dataset: received {system.dataset!r}, "
                f"expected a key of datasets ({join_items(params.datasets)})."
            )
    return params


def _require_names(raw: object, path: Path) -> None:
    """Names become folders and DVC stages; msgspec's own message would not say which one is wrong."""
    for group in ("datasets", "systems"):
        entries = raw.get(group) if isinstance(raw, dict) else None
        for name in entries if isinstance(entries, dict) else ():
            if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
                raise BoxlineError(
                    f"{path}: {group}: the name {name!r} is not allowed; expected a lower-case letter, "
                    "then lower-case letters, digits and underscores."
                )


SectionType = TypeVar("SectionType", bound=Config)


def parse_config(raw: object, kind: type[SectionType], where: str, path: Path = PARAMS_FILE) -> SectionType:
    """The part of the file at dotted key `where` as its checked section; `path` only names the file in messages."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise BoxlineError(f"{path}: {_explain(str(error), raw, kind, where)}") from None


def _explain(message: str, raw: object, kind: type[Config], where: str) -> str:
    """Msgspec's words ("Expected `int`, got `str` - at `$.train.epochs`") with the key and the value received."""
    complaint, _, pointer = message.partition(" - at ")
    try:
        keys, value, expected_kind = _follow(re.findall(r"[^.$`\[\]]+|\[\.\.\.\]", pointer), raw, kind)
    except (KeyError, TypeError, IndexError, StopIteration):
        return f"{where or 'the file'}: {message}"  # a place that cannot be followed, such as a key that is no text
    key = ".".join(filter(None, [where, *keys])) or "the file"
    unknown = re.search(r"unknown field `([^`]+)`", complaint)
    if unknown:
        known = list(_types(expected_kind, value))
        guesses = difflib.get_close_matches(unknown[1], known, n=1)
        hint = f" Did you mean {guesses[0]}?" if guesses else ""
        return f"{key}: unknown key {unknown[1]!r}, expected one of {join_items(known)}.{hint}"
    missing = re.search(r"missing required field `([^`]+)`", complaint)
    if missing:
        return f"{key}: the key {missing[1]!r} is missing."
    if complaint.startswith(("Invalid enum value", "Invalid value")):
        return f"{key}: received {value!r}, expected one of {join_items(get_args(expected_kind))}."
    if complaint.startswith("Expected "):
        expected = complaint.removeprefix("Expected ").partition(", got")[0].replace("`", "")
        return f"{key}: received {value!r}, expected {expected}."
    return f"{key}: {complaint}."


def _follow(steps: list[str], raw: Any, kind: Any) -> tuple[list[str], Any, Any]:
    """The keys that msgspec's pointer names, the value there, and the type that is expected there.

    msgspec writes [...] for a member of a map and leaves the key out; it is the first one that is not valid.
    """
    keys: list[str] = []
    for step in steps:
        if step == "[...]":
            member_kind = get_args(kind)[1]
            key: Any = next(name for name in raw if not _is_valid({name: raw[name]}, kind))
            kind = member_kind
        elif isinstance(raw, list):
            key = int(step)
            sequence = get_args(kind)[0] if get_origin(kind) is Annotated else kind
            kind = get_args(sequence)[0]  # the members of a list are of one type
        else:
            key = step
            kind = _types(kind, raw)[step]
        raw = raw[key]
        keys.append(str(key))
    return keys, raw, kind


def _types(kind: Any, raw: Any) -> dict[str, Any]:
    """The keys of a section with their types; where several kinds of section may stand, those of the kind that it
    names, if it names one.
    """
    sections = [option for option in get_args(kind) or (kind,) if option is not type(None)]
    tag_field = sections[0].__struct_config__.tag_field
    if tag_field is None:
        return {field.name: field.type for field in msgspec.structs.fields(sections[0])}
    kinds = {option.__struct_config__.tag: option for option in sections}
    fields = msgspec.structs.fields(kinds[raw[tag_field]]) if raw[tag_field] in kinds else ()
    return {tag_field: Literal[tuple(kinds)], **{field.name: field.type for field in fields}}


def _is_valid(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


Entry = TypeVar("Entry", DatasetConfig, SystemConfig)


def _entry(entries: dict[str, Entry], group: str, name: str) -> Entry:
    if name not in entries:
        raise BoxlineError(f"{PARAMS_FILE}: {group} has no entry {name!r}; known are {join_items(entries)}.")
    return entries[name]
