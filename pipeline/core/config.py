"""params.yaml: read once, checked, and immutable; every message names the dotted key.

This module declares the shape that all datasets and systems share. The sections `sample`, `targets`, `model` and so on
are declared beside the code that uses them, so that a new option of one system reruns no stage of another.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import ErrorDetails, PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.errors import BoxlineError, join_items

PARAMS_FILE = Path("params.yaml")

MAX_INT = 2**31 - 1
"""Largest integer: TensorFlow holds sizes as int32 in places, where larger ones overflow."""

MAX_FLOAT = 1e9
"""Largest number: a product of four is still finite in float32, in which trainings compute."""

PositiveInt = Annotated[int, Field(ge=1, le=MAX_INT)]
NonNegativeInt = Annotated[int, Field(ge=0, le=MAX_INT)]
PositiveFloat = Annotated[float, Field(gt=0, le=MAX_FLOAT)]
NonNegativeFloat = Annotated[float, Field(ge=0, le=MAX_FLOAT)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy and Keras take


def _require_integer(value: object) -> object:
    if type(value) is not int:
        raise PydanticCustomError("int_type", "not an integer")
    return value


IntegerLiteral = BeforeValidator(_require_integer)
"""Annotates a literal of integers, which would accept true and 1.0 as 1."""

NAME_PATTERN = r"[a-z][a-z0-9_]*"
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]

TupleFromList = Field(strict=False)
"""Annotates a tuple: YAML has lists only, and strict validation would reject them."""

RENAMED_KEYS = {
    "systems.*.preset": "pretrained",
    "systems.*.train.augment.flip_share": "flip_probability",
    "systems.*.train.augment.translate_share": "max_translate_fraction",
    "systems.*.train.phases.*.schedule.final_share": "final_lr_fraction",
    "systems.*.model.look": "crop_classifier",
    "systems.*.model.crop_classifier.pixels": "crop_size",
    "systems.*.model.candidates": "topk",
    "systems.*.model.endless": "generate_images",
    "systems.*.targets.rows": "examples",
    "systems.*.targets.overlap": "tie_break",
    "systems.*.evaluate.pictures": "plotted_images",
    "datasets.*.validate.max_quarantined_share": "max_quarantined_fraction",
}
"""Keys of earlier versions of params.yaml, and what they are called now; `*` stands for any name."""

RENAMED_CHECK_KEYS = {
    "image_turned_by_viewers": "image_exif_rotated",
    "image_unknown": "box_image_unknown",
    "category_unknown": "box_category_unknown",
    "drift_of_class_shares": "drift_of_class_frequencies",
    "*.tolerance_share": "tolerance_fraction",
    "*.max_share": "max_fraction",
    "*.below_image_share": "below_image_fraction",
}
"""The same below `checks` and below `validate.checks` of each dataset."""

RENAMED_VALUES = {
    ("systems.*.module", "edge_localizer"): "distributional_localizer",
    ("systems.*.module", "center_detector"): "anchor_free_detector",
    ("systems.*.pretrained.source", "sample"): "random",
    ("systems.*.targets.examples", "every"): "per_box",
    ("systems.*.targets.examples", "one"): "medoid",
    ("systems.*.targets.tie_break", "later"): "last",
    ("systems.*.targets.tie_break", "smaller"): "smallest",
    ("systems.*.train.phases.*.schedule.kind", "drop"): "step",
}

REMOVED_KEYS = {"systems.*.task": "each system declares its own task"}
"""Keys that no longer exist, and why."""


class Config(pydantic.BaseModel):
    """Base of every section: immutable, built by keyword, without unknown keys and without conversions of types.

    An integer is accepted as a float. Validators of subclasses raise ValueError; `parse_config` reports its text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _reject_unknown_keys(cls, raw: object) -> object:
        """Pydantic's own error would not list the known keys."""
        if isinstance(raw, dict):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            unknown = next((key for key in raw if key not in known), None)
            if unknown is not None:
                raise PydanticCustomError("unknown_key", "unknown key", {"key": unknown, "known": known})
        return raw


class DatasetConfig(Config):
    """One entry of `datasets`: a published dataset, which has a module, or files in a usual format.

    Attributes:
        module: a folder of pipeline/datasets; None for files in a usual format.
        format: a key of FORMATS in pipeline/datasets/formats; None for a published dataset.
        source: "sample", "upstream", or the folder or address of a mirror; the folder, archive or address of the files
            if they have a format. The stage `download` reads it.
        sample: how many images to draw, and other options of the dataset's `SampleConfig`.
        options: options of the format.
        classes: the only classes to read, in the order of their class indices; all if empty.
        split: how images are assigned to splits, see `pipeline.datasets.splits`; None: as the files have it, or by
            shares if they have no splits.
        limit: the largest number of images per split, for quick runs; None for all.
        validation: the key `validate`: what the stage `validate` reads.

    """

    module: Name | None = None
    format: str | None = None
    source: Annotated[str, Field(min_length=1)]
    sample: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    classes: Annotated[tuple[str, ...], TupleFromList] = ()
    split: dict[str, Any] | None = None
    limit: PositiveInt | None = None
    validation: Annotated[dict[str, Any], Field(alias="validate", default_factory=dict)]  # models have such a method

    @pydantic.field_validator("classes")
    @classmethod
    def _require_distinct_names(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes) or not all(name.strip() for name in classes):
            raise ValueError(f"received {[*classes]}, expected names of classes that differ and are not empty")
        return classes

    @pydantic.model_validator(mode="after")
    def _require_module_or_format(self) -> "DatasetConfig":
        if (self.module is None) == (self.format is None):
            raise ValueError("expected either module, for a published dataset, or format, for files of your own")
        if self.format is None and (self.options or self.classes):
            raise ValueError(
                "the keys options and classes belong to a format, and a published dataset has none. Delete them"
            )
        if self.module is None and self.sample:
            raise ValueError(
                "the key sample belongs to a published dataset, and one with a format has no sample. Delete it"
            )
        return self

    @property
    def is_sample(self) -> bool:
        """Whether the stage `sample` writes the files. To a format, `sample` is a folder like any other."""
        return self.module is not None and self.source == "sample"


class SystemConfig(Config):
    """One entry of `systems`.

    Attributes:
        module: a folder of pipeline/systems.
        dataset: a key of `datasets`.
        variant_of: the system that this one is a stronger variant of, on the same dataset; None for others.
            `boxline summary` shows the two side by side.
        pretrained: where the pretrained weights come from; None to start from random weights.

    """

    module: Name
    dataset: Name
    variant_of: Name | None = None
    pretrained: dict[str, Any] | None
    pack: dict[str, Any]
    targets: dict[str, Any]
    model: dict[str, Any]
    train: dict[str, Any]
    evaluate: dict[str, Any]


class Params(Config):
    """The whole file.

    Attributes:
        seed: of held-out images, weights, shuffling and dropout.
        checks: the checks of all datasets; required to validate one. A dataset's `validate` overrides them.
        datasets: the entries of datasets, by the name of their folders in data/ and reports/.
        systems: the entries of systems, by the name of their folders.

    """

    seed: Seed
    checks: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    datasets: dict[Name, DatasetConfig]
    systems: dict[Name, SystemConfig]

    def dataset(self, name: str) -> DatasetConfig:
        """The section of that dataset.

        Raises:
            BoxlineError: if there is none; the message lists the known ones.

        """
        return _entry(self.datasets, "datasets", name)

    def system(self, name: str) -> SystemConfig:
        """The section of that system.

        Raises:
            BoxlineError: if there is none; the message lists the known ones.

        """
        return _entry(self.systems, "systems", name)


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the file.

    Raises:
        BoxlineError: if the file is missing, is not YAML, uses a key of an earlier version or does not have this shape.

    """
    try:
        # YAML 1.2, as DVC reads it: 2e-4 is a number here and text in YAML 1.1.
        raw = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise BoxlineError(f"{path} not found. Run this from the project's root folder.") from None
    except IsADirectoryError:
        raise BoxlineError(f"{path} is a folder, expected a YAML file.") from None
    except (YAMLError, ValueError, RecursionError) as error:  # also of numbers and dates that Python does not have
        raise BoxlineError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    _reject_earlier_keys(raw, path)
    params = parse_config(raw, Params, where="", path=path)
    for name, system in params.systems.items():
        if name in params.datasets:
            raise BoxlineError(f"{path}: {name} names a dataset and a system; each needs a folder of its own.")
        if system.dataset not in params.datasets:
            raise BoxlineError(
                f"{path}: systems.{name}.dataset: received {system.dataset!r}, "
                f"expected a key of datasets ({join_items(params.datasets)})."
            )
        if system.variant_of is not None:
            _require_variant(params, name, system.variant_of, path)
    return params


def _require_variant(params: Params, name: str, published: str, path: Path) -> None:
    dataset = params.systems[name].dataset
    others = [other for other, system in params.systems.items() if other != name and system.dataset == dataset]
    if published not in others:
        raise BoxlineError(
            f"{path}: systems.{name}.variant_of: received {published!r}, "
            f"expected another system on the dataset {dataset} ({join_items(others) or 'there is none'})."
        )


def _reject_earlier_keys(raw: object, path: Path) -> None:
    renamed = {
        **RENAMED_KEYS,
        **{
            f"{section}.{pattern}": name
            for section in ("checks", "datasets.*.validate.checks")
            for pattern, name in RENAMED_CHECK_KEYS.items()
        },
    }
    for pattern, reason in REMOVED_KEYS.items():
        for key, _ in _matches(raw, pattern.split(".")):
            raise BoxlineError(f"{path}: {key}: this key no longer exists, since {reason}. Delete it.")
    for pattern, name in renamed.items():
        for key, _ in _matches(raw, pattern.split(".")):
            raise BoxlineError(f"{path}: {key}: this key is now called {name}.")
    for (pattern, earlier), name in RENAMED_VALUES.items():
        for key, value in _matches(raw, pattern.split(".")):
            if value == earlier:
                raise BoxlineError(f"{path}: {key}: received {value!r}, which is now called {name}.")


def _matches(raw: object, pattern: Sequence[str], parents: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    """Dotted keys that match the pattern, with their values."""
    if not pattern:
        yield ".".join(parents), raw
    elif isinstance(raw, dict):
        first, *rest = pattern
        for name in raw if first == "*" else [first] if first in raw else []:
            yield from _matches(raw[name], rest, (*parents, str(name)))


ConfigT = TypeVar("ConfigT", bound=Config)


def parse_config(raw: object, config_class: type[ConfigT], where: str, path: Path | str = PARAMS_FILE) -> ConfigT:
    """Check one section.

    Args:
        raw: the section as YAML or JSON holds it.
        config_class: what it should be.
        where: dotted key of the section; "" for the whole file.
        path: the file, or what else gives the section, for messages only.

    Raises:
        BoxlineError: for the first key, type or value that is wrong.

    """
    try:
        return config_class.model_validate(raw)
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)[0]
        raise BoxlineError(f"{path}: {_describe(details, raw, where)}") from None


def _describe(details: ErrorDetails, raw: object, where: str) -> str:
    """One sentence for an error, from its structured parts."""
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    keys = _dotted_keys(details["loc"], raw, last_is_absent=kind == "missing")
    if kind == "missing" and isinstance(details["loc"][-1], int):
        return f"{_joined(where, keys[:-1])}: received {value!r}, expected a longer list."
    if kind == "missing":
        return f"{_joined(where, keys[:-1])}: the key {keys[-1]!r} is missing."
    if kind == "union_tag_not_found":
        return f"{_joined(where, keys)}: the key {context['discriminator']} is missing."
    if kind == "union_tag_invalid":
        tag_key = str(context["discriminator"]).strip("'")
        expected = context["expected_tags"]
        return f"{_joined(where, [*keys, tag_key])}: received {value[tag_key]!r}, expected one of {expected}."
    if keys and keys[-1] == INVALID_NAME:
        return (
            f"{_joined(where, keys[:-2])}: the name {value!r} is not allowed; "
            "expected a lower-case letter, then lower-case letters, digits and underscores."
        )
    key = _joined(where, keys)
    if kind == "unknown_key":
        guesses = difflib.get_close_matches(str(context["key"]), context["known"], n=1)
        hint = f" Did you mean {guesses[0]}?" if guesses else ""
        known = join_items(context["known"]) or "no keys at all"
        return f"{key}: unknown key {context['key']!r}, expected one of {known}.{hint}"
    if kind == "value_error":  # from a validator of a section
        return f"{key}: {context['error']}."
    expected = EXPECTATIONS.get(kind)
    return f"{key}: received {value!r}, expected {expected(context) if expected else f'another value ({kind})'}."


INVALID_NAME = "[key]"
"""What pydantic appends to the location of a key that is not valid itself."""


def _number(context: Mapping[str, Any], bound: str, sign: str) -> str:
    limit = context[bound]
    return f"{'an integer' if isinstance(limit, int) else 'a number'} {sign} {limit:.12g}"


EXPECTATIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "int_type": lambda _: "an integer",
    "float_type": lambda _: "a number",
    "finite_number": lambda _: "a finite number",
    "bool_type": lambda _: "true or false",
    "string_type": lambda _: "text",
    "string_too_short": lambda _: "text that is not empty",
    "string_pattern_mismatch": lambda _: "a lower-case letter, then lower-case letters, digits and underscores",
    "literal_error": lambda context: str(context["expected"]),
    "greater_than": lambda context: _number(context, "gt", ">"),
    "greater_than_equal": lambda context: _number(context, "ge", ">="),
    "less_than": lambda context: _number(context, "lt", "<"),
    "less_than_equal": lambda context: _number(context, "le", "<="),
    "tuple_type": lambda _: "a list",
    "list_type": lambda _: "a list",
    "sequence_str": lambda _: "a list",
    "is_instance_of": lambda _: "a list",
    "too_short": lambda context: f"a list of {context['min_length']} or more",
    "too_long": lambda context: f"a list of {context['max_length']} at most",
    "dict_type": lambda _: "a section with keys",
    "model_type": lambda _: "a section with keys",
    "model_attributes_type": lambda _: "a section with keys",
}
"""What was expected instead, by the type of pydantic's error."""


def _dotted_keys(location: Sequence[int | str], raw: Any, *, last_is_absent: bool) -> list[str]:
    """The keys in the file; pydantic's location also holds the kind of a section if several kinds are possible."""
    keys: list[str] = []
    kind_may_follow = True
    for step in location:
        if kind_may_follow and isinstance(raw, dict) and raw.get("kind") == step:  # a key may have the name of a kind
            kind_may_follow = False
        elif step in raw if isinstance(raw, dict) else isinstance(raw, list) and step in range(len(raw)):
            keys.append(str(step))
            raw = raw[step]
            kind_may_follow = True
        elif step == INVALID_NAME:
            keys.append(INVALID_NAME)
    return [*keys, str(location[-1])] if last_is_absent else keys


def _joined(where: str, keys: Sequence[str]) -> str:
    return ".".join(filter(None, [where, *keys])) or "the file"


Entry = TypeVar("Entry", DatasetConfig, SystemConfig)


def _entry(entries: dict[str, Entry], group: str, name: str) -> Entry:
    if name not in entries:
        raise BoxlineError(f"{PARAMS_FILE}: {group} has no entry {name!r}; known are {join_items(entries)}.")
    return entries[name]
