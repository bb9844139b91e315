"""Reads YAML files from outside: small ones that hold plain values only."""

from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

from pipeline.archives.file_tree import FileTree
from pipeline.core.errors import BoxlineError, truncate

MAX_YAML_BYTES = 1 << 20
"""The names of 20,000 classes take half of it."""

MAX_VALUES = 50_000
"""Decoding that many takes some seconds."""

MAX_DEPTH = 16


def read_yaml(tree: FileTree, name: str) -> Mapping[str, Any]:
    """The keys and values of a YAML file.

    Aliases are refused, because a few of them make gigabytes, and tags, because they name types of a program.

    Args:
        tree: the files.
        name: one of them.

    Raises:
        BoxlineError: if the file is larger than MAX_YAML_BYTES, or no YAML, or not a section with keys.

    """
    content = tree.read(name, MAX_YAML_BYTES)
    try:
        text = content.decode("utf-8-sig")
        _require_plain_values(name, text)
        values = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:  # also of numbers and dates that Python does not have
        raise BoxlineError(f"{name} is not valid YAML: {truncate(str(error), 300)}") from None
    if not isinstance(values, dict):
        raise BoxlineError(f"{name}: received {truncate(repr(values))}, expected keys with values.")
    return {str(key): value for key, value in values.items()}


def _require_plain_values(name: str, text: str) -> None:
    depth = num_values = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        where = f"{name}, line {event.start_mark.line + 1}"
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor is not None):
            raise BoxlineError(f"{where}: received an anchor or alias (& or *), expected plain values.")
        if getattr(event, "tag", None) is not None:
            raise BoxlineError(f"{where}: received the tag {truncate(str(event.tag))}, expected plain values.")
        num_values += isinstance(event, NodeEvent)
        if num_values > MAX_VALUES:
            raise BoxlineError(f"{where}: received more than {MAX_VALUES:,} values, expected fewer.")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise BoxlineError(f"{where}: received more than {MAX_DEPTH} levels, expected fewer.")
