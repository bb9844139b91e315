"""Every number of every section of params.yaml has two limits, and what is no such number is refused by its key."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.core.config import Config, Params, load_params, parse_config
from pipeline.core.errors import BoxlineError
from pipeline.datasets.registry import DATASETS
from pipeline.datasets.splits import SplitKey
from pipeline.evaluation.config import EvaluateConfig
from pipeline.packing.config import PackConfig
from pipeline.pretrained.config import PretrainedConfig
from pipeline.systems.common.model_metadata import ModelMetadata
from pipeline.systems.common.registry import SYSTEMS, get_system
from pipeline.training.config import TrainConfig
from pipeline.validation.config import Checks, ValidateConfig

SECTIONS: dict[str, type[Config]] = {
    "params": Params,
    "pack": PackConfig,
    "train": TrainConfig,
    "split": SplitKey,
    "evaluate": EvaluateConfig,
    "pretrained": PretrainedConfig,
    "validate": ValidateConfig,
    "checks": Checks,
    "model_config": ModelMetadata,
    **{f"{name}.sample": dataset.sample_writer().config_class for name, dataset in DATASETS.items()},
    **{f"{name}.targets": get_system(name).targets_config for name in SYSTEMS},
    **{f"{name}.model": get_system(name).model_config for name in SYSTEMS},
}

Schema = dict[str, Any]
Key = tuple[str | int, ...]


def examples(schema: Schema, definitions: Schema) -> list[Any]:
    """Valid values of a JSON schema, so that each part of it, also an optional one, is in at least one of them."""
    if "examples" in schema:
        return list(schema["examples"])
    if "$ref" in schema:
        return examples(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for alternatives in ("anyOf", "oneOf"):
        if alternatives in schema:
            return [value for part in schema[alternatives] for value in examples(part, definitions)]
    if "const" in schema or "enum" in schema:
        return [schema["const"] if "const" in schema else schema["enum"][0]]
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        choices = {name: examples(part, definitions) for name, part in schema["properties"].items()}
        first = {name: values[0] for name, values in choices.items()}
        if {"module", "format"} <= set(first):  # a dataset has one of the two
            first["module"] = None
        return [first, *(first | {name: value} for name, values in choices.items() for value in values[1:])]
    if kind == "object":
        parts = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
        part = next((part for part in parts if isinstance(part, dict)), None)
        return [{"all": value} for value in examples(part, definitions)] if part else [{}]
    if kind == "array":
        items = schema.get("prefixItems") or [schema["items"]] * max(schema.get("minItems", 1), 1)
        return [[examples(part, definitions)[0] for part in items]]
    if kind in ("integer", "number"):
        return [number_in_range(schema)]
    return {"string": ["a"], "boolean": [True], "null": [None]}.get(str(kind), [{}])


def number_in_range(schema: Schema) -> float:
    """The largest number that the schema allows, or the middle of an open range."""
    if "maximum" in schema:
        return float(schema["maximum"]) if schema["type"] == "number" else int(schema["maximum"])
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("exclusiveMaximum", low + 2)
    return int(high) - 1 if schema["type"] == "integer" else (low + high) / 2


def numbers(value: Any, key: Key = ()) -> Iterator[Key]:
    """Keys of all numbers in a value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield from numbers(child, (*key, name))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield key


def replaced(value: Any, key: Key, new: object) -> Any:
    """A copy of a value with another one at the key."""
    result = copy.deepcopy(value)
    parent = result
    for step in key[:-1]:
        parent = parent[step]
    parent[key[-1]] = new
    return result


def fields_with_numbers() -> Iterator[tuple[str, Any, Key]]:
    """Each number of each section, with a valid section that has it."""
    for section, config_class in SECTIONS.items():
        schema = config_class.model_json_schema(by_alias=True)
        seen: set[Key] = set()
        for example in examples(schema, schema.get("$defs", {})):
            for key in numbers(example):
                # An example of another kind of schedule has the same key, and other constraints.
                kind = example.get("phases", {}).get("all", {}).get("schedule") or {}
                if (*key, kind.get("kind", "")) not in seen:
                    seen.add((*key, kind.get("kind", "")))
                    yield section, example, key


FIELDS = list(fields_with_numbers())


def leaves(schema: Any) -> Iterator[Schema]:
    """The schemas of all numbers in a schema."""
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for child in children:
        yield from leaves(child)
    if isinstance(schema, dict) and schema.get("type") in ("integer", "number") and not {"const", "enum"} & set(schema):
        yield schema


@pytest.mark.parametrize("section", SECTIONS)
def test_every_number_has_a_lower_and_an_upper_limit(section: str) -> None:
    for schema in leaves(SECTIONS[section].model_json_schema()):
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        assert low is not None, schema
        assert high is not None, schema
        assert 0 <= low < high <= 2**32, schema


def test_the_examples_hold_the_numbers_of_all_sections() -> None:
    assert len(FIELDS) > 60
    assert {section for section, *_ in FIELDS} >= {"train", "pack", "checks", "evaluate", "coco_yolo.targets"}
    found = {key for section, _, key in FIELDS if section == "train"}
    assert found >= {("augment", "color", "contrast"), ("phases", "all", "schedule", "warmup_epochs")}


def test_the_examples_are_valid() -> None:
    for section, example, _ in FIELDS:
        parse_config(example, SECTIONS[section], section)


NO_NUMBERS = [".inf", "-.INF", ".Inf", ".nan", "1e400", "-1", "99999999999999999999", "1" + "0" * 400, "true", "off"]
NO_NUMBERS += ["null", "2024-01-01", "2024-01-01 10:00:00", "'8'", "1,5", "[1]", "{a: 1}", "0b2", "1:30"]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_in_range_is_refused_by_its_key(text: str) -> None:
    value = YAML(typ="safe", pure=True).load(text)
    for section, example, key in FIELDS:
        if value is None and is_optional(section, example, key):
            continue
        with pytest.raises(BoxlineError) as raised:
            parse_config(replaced(example, key, value), SECTIONS[section], section)
        name = ".".join([section, *map(str, key)])
        assert str(raised.value).startswith(f"params.yaml: {name}: received {value!r}, expected "), str(raised.value)


def is_optional(section: str, example: Any, key: Key) -> bool:
    """Whether null is allowed in place of the number."""
    try:
        parse_config(replaced(example, key, None), SECTIONS[section], section)
    except BoxlineError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "number"), [("1_00", 100), ("0x1F", 31), ("0o17", 15), ("017", 17), ("+8", 8), ("8", 8)]
)
def test_forms_of_integers_are_those_of_yaml_1_2(text: str, number: int) -> None:
    raw = YAML(typ="safe", pure=True).load(f"{{split: val, plotted_images: {text}, score_threshold: 0}}")
    assert parse_config(raw, EvaluateConfig, "evaluate").plotted_images == number


@pytest.mark.parametrize("text", ["9" * 5000, "2024-13-45", "2024-02-30 25:00:00", "[" * 500, "!!int x", "!!float x"])
def test_scalars_that_python_cannot_hold_are_invalid_yaml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"seed: {text}\n", encoding="utf-8")
    with pytest.raises(BoxlineError, match=r"params\.yaml is not valid YAML: "):
        load_params(path)
