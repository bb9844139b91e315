"""Adds entries to params.yaml as text, so that comments, order and notation of everything else stay as they are."""

import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from pipeline.core.atomic_files import atomic_write
from pipeline.core.config import PARAMS_FILE
from pipeline.core.errors import BoxlineError

INDENT = "  "
MAX_LINE = 120
PLAIN_TEXT = re.compile(r"[A-Za-z./~][A-Za-z0-9_./~ -]*")


def format_entry(name: str, entry: dict[str, Any]) -> str:
    """An entry of `datasets` or `systems` as YAML, indented as there; innermost mappings and lists on one line each.

    >>> print(format_entry("pets", {"format": "voc", "source": "photos", "split": {"kind": "random", "val": 0.2}}))
      pets:
        format: voc
        source: photos
        split: {kind: random, val: 0.2}
    """
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = MAX_LINE
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _represent_null)  # ruamel writes nothing for None
    block = CommentedMap(entry)
    block.fa.set_block_style()
    yaml.representer.add_representer(str, _represent_text)
    text = io.StringIO()
    yaml.dump({name: block}, text)
    return "\n".join(INDENT + line for line in text.getvalue().splitlines())


def add_entries(entries: dict[str, dict[str, dict[str, Any]]], path: Path = PARAMS_FILE) -> None:
    """Append entries to sections of the file, atomically.

    Args:
        entries: by section ("datasets", "systems") the new entries by their names, which the sections do not have yet.
        path: the file.

    Raises:
        BoxlineError: if the sections are not written as blocks, so that no text can be appended to them.

    """
    text = path.read_bytes().decode()
    expected = _load(text)
    for section, named in entries.items():
        for name, entry in named.items():
            text = _append(text, section, format_entry(name, entry), path)
            expected.setdefault(section, {})[name] = entry
    assert _load(text) == expected
    with atomic_write(path) as partial:
        partial.write_bytes(text.encode())


def _append(text: str, section: str, entry: str, path: Path) -> str:
    root = YAML(pure=True).compose(text)
    sections = {key.value: value for key, value in root.value}
    node = sections.get(section)
    if not isinstance(node, MappingNode) or node.flow_style or not node.value:
        raise BoxlineError(
            f"{path}: {section} is not a section with entries, each on lines of its own, so nothing was added. "
            "Add the printed entries by hand."
        )
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    last = _last_line(node)
    if not lines[last].endswith("\n"):
        lines[last] += newline
    added = [line + newline for line in entry.splitlines()]
    first = node.value[0][0].start_mark
    added = [" " * first.column + line.removeprefix(INDENT) for line in added]
    if any(not line.strip() for line in lines[first.line : last]):  # empty lines separate the entries
        added.insert(0, newline)
    return "".join([*lines[: last + 1], *added, *lines[last + 1 :]])


def _last_line(node: Node) -> int:
    """Index of the last line of a node; the end of a block itself is after the comments that follow it."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(node, MappingNode) else last)
    end = node.end_mark
    return int(end.line if end.column else end.line - 1)


def _represent_null(representer: RoundTripRepresenter, _: None) -> ScalarNode:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _represent_text(representer: RoundTripRepresenter, text: str) -> ScalarNode:
    """Any text but plain words in quotes: ruamel writes some without, such as ':0' in a list, that it cannot read."""
    style = None if PLAIN_TEXT.fullmatch(text) else '"'
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _load(text: str) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise BoxlineError(f"params.yaml would not be valid: {' '.join(str(error).split())}") from None
    return loaded
