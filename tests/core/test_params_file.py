"""Entries that are added to params.yaml as text."""

import difflib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.core.errors import BoxlineError
from pipeline.core.params_file import add_entries, format_entry
from tests.support.tiny_project import PROJECT

SMALL = """\
# the seed
seed: 1
datasets:
  # comments of datasets
  coco:
    module: coco # with a comment
    sample: {seed: 1,   val_images: 2}

  # more about sources

systems:
  # comments of systems
  yolo: {module: coco_yolo, dataset: coco}
# the end
"""

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(bool), inner, max_size=3),
    max_leaves=12,
)


def load(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path)


def test_entry_is_indented_with_innermost_collections_on_one_line() -> None:
    entry = {"format": "voc", "source": "a: b", "split": {"kind": "random", "val": 0.2}, "pretrained": None}
    stages = {"stages": [{"filters": 16, "blocks": 0}, {"filters": 32, "blocks": 1}]}
    assert format_entry("pets", entry | {"model": stages}).splitlines() == [
        "  pets:",
        "    format: voc",
        '    source: "a: b"',
        "    split: {kind: random, val: 0.2}",
        "    pretrained: null",
        "    model:",
        "      stages:",
        "        - {filters: 16, blocks: 0}",
        "        - {filters: 32, blocks: 1}",
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_the_lines_of_the_entries_are_added(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(SMALL.replace("\n", newline).encode())
    add_entries({"datasets": {"pets": {"format": "voc"}}, "systems": {"pets_detector": {"dataset": "pets"}}}, path)
    assert path.read_bytes().decode() == (
        SMALL.replace("val_images: 2}\n", "val_images: 2}\n  pets:\n    format: voc\n")
        .replace("dataset: coco}\n", "dataset: coco}\n  pets_detector:\n    dataset: pets\n")
        .replace("\n", newline)
    )


def test_entry_has_the_indentation_of_the_section(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("datasets:\n    coco:\n        module: coco\n")
    add_entries({"datasets": {"pets": {"format": "voc", "split": {"kind": "random"}}}}, path)
    assert path.read_text() == (
        "datasets:\n    coco:\n        module: coco\n    pets:\n      format: voc\n      split: {kind: random}\n"
    )


def test_file_without_line_break_at_its_end_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("datasets:\n  coco: {module: coco}")
    add_entries({"datasets": {"pets": {"format": "voc"}}}, path)
    assert path.read_text() == "datasets:\n  coco: {module: coco}\n  pets:\n    format: voc\n"


def test_lines_of_the_project_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (PROJECT / "params.yaml").read_text()
    path.write_text(before)
    add_entries({"datasets": {"pets": {"format": "voc"}}, "systems": {"pets_detector": {"dataset": "pets"}}}, path)
    changes = [line for line in difflib.ndiff(before.splitlines(), path.read_text().splitlines()) if line[0] in "-+"]
    added = ["  pets:", "    format: voc", "", "  pets_detector:", "    dataset: pets"]
    assert changes == [f"+ {line}" for line in added]


@pytest.mark.parametrize("datasets", ["{coco: {module: coco}}", "{}", "", "text", "[]"])
def test_section_in_another_notation_is_not_changed(tmp_path: Path, datasets: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"datasets: {datasets}\nsystems:\n  yolo: {{dataset: coco}}\n")
    before = path.read_bytes()
    with pytest.raises(BoxlineError) as caught:
        add_entries({"datasets": {"pets": {"format": "voc"}}}, path)
    assert str(caught.value) == (
        f"{path}: datasets is not a section with entries, each on lines of its own, so nothing was added. "
        "Add the printed entries by hand."
    )
    assert path.read_bytes() == before


@given(st.dictionaries(TEXTS.filter(bool), VALUES, min_size=1, max_size=4))
def test_any_entry_is_read_back(tmp_path_factory: pytest.TempPathFactory, entry: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(SMALL)
    add_entries({"datasets": {"pets": entry}}, path)
    assert load(path)["datasets"]["pets"] == entry
    assert load(path)["systems"] == {"yolo": {"module": "coco_yolo", "dataset": "coco"}}
