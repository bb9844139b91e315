"""Overrides of params.yaml."""

from pathlib import Path

import pytest
from dvc.utils.hydra import to_hydra_overrides
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from flows.overrides import halved_batch_override, overridden_params, quote_value
from pipeline.core.errors import BoxlineError
from tests.support.tiny_project import PROJECT

PARAMS = """\
# datasets
datasets:
  coco: {source: sample}  # synthetic
systems:
  coco_yolo:
    train:
      batch_size: 9  # images
      seeds:
      - 1
      - 2
"""


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS)
    return path


def test_override_keeps_comments_and_the_file(params: Path) -> None:
    assert overridden_params(params, ["systems.coco_yolo.train.batch_size=4"]) == PARAMS.replace("9", "4").encode()
    assert params.read_text() == PARAMS


def test_values_are_typed_and_the_last_override_applies(params: Path) -> None:
    overrides = ["datasets.coco.source=/srv/coco", "systems.coco_yolo.train.seeds=[3,4]"]
    overrides += ["systems.coco_yolo.train.batch_size=4", "systems.coco_yolo.train.batch_size=2.5"]
    assert YAML(typ="safe").load(overridden_params(params, overrides)) == {
        "datasets": {"coco": {"source": "/srv/coco"}},
        "systems": {"coco_yolo": {"train": {"batch_size": 2.5, "seeds": [3, 4]}}},
    }


def test_absent_keys_are_added_with_a_plus(params: Path) -> None:
    """Most keys of a dataset are optional, and a quick run sets some of them."""
    overrides = ["+datasets.coco.limit=50", "+datasets.coco.split={kind: random, group_by: '([^/]*)_(?:png|jpg)'}"]
    assert YAML(typ="safe").load(overridden_params(params, overrides))["datasets"]["coco"] == {
        "source": YAML(typ="safe").load(PARAMS)["datasets"]["coco"]["source"],
        "limit": 50,
        "split": {"kind": "random", "group_by": "([^/]*)_(?:png|jpg)"},
    }


def test_no_overrides_change_no_value_of_the_project() -> None:
    own = PROJECT / "params.yaml"
    assert YAML(typ="safe").load(overridden_params(own, [])) == YAML(typ="safe").load(own)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "systems.coco_yolo.train.batch_sise=4",
            "overrides: systems.coco_yolo.train.batch_sise=4: Could not override 'systems.coco_yolo.train.batch_sise'. "
            "To append to your config use +systems.coco_yolo.train.batch_sise=4",
        ),
        (
            "systems.coco_yolo.train.batch_size.deeper=1",
            "overrides: systems.coco_yolo.train.batch_size.deeper=1: Could not override "
            "'systems.coco_yolo.train.batch_size.deeper'. To append to your config use "
            "+systems.coco_yolo.train.batch_size.deeper=1",
        ),
        (
            "batch_size",
            "overrides: batch_size: Error parsing override 'batch_size' missing EQUAL at '<EOF>'. Expected KEY=VALUE.",
        ),
    ],
)
def test_invalid_override_raises_an_error_of_one_line(params: Path, override: str, message: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        overridden_params(params, [override])
    assert str(raised.value) == message


ORDINARY_PATHS = ["~/coco", "/data/Köln", "/data/coco (1)", "s3://bucket/dt=2024-01-01/coco", "http://host/a?b=c"]
ORDINARY_PATHS += ["/data/a#b", "/data/猫", "/data/it's", "a,b", '5" disk', "C:\\data\\", "range(1,3)", "~", "ü"]


@pytest.mark.parametrize("path", ORDINARY_PATHS)
def test_message_about_an_ordinary_path_shows_the_form_to_type(params: Path, path: str) -> None:
    try:
        content = overridden_params(params, [f"datasets.coco.source={path}"])
    except BoxlineError as error:
        message = str(error)
        assert message.startswith(f"overrides: datasets.coco.source={path}: ")
        content = overridden_params(params, [message.partition(" If this is text, quote it: ")[2]])
    assert YAML(typ="safe", pure=True).load(content)["datasets"]["coco"]["source"] == path


def test_message_has_the_reason_and_the_quoted_form(params: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        overridden_params(params, ["datasets.coco.source=/data/coco (1)"])
    assert str(raised.value) == (
        "overrides: datasets.coco.source=/data/coco (1): mismatched input ' (' expecting <EOF>. "
        'If this is text, quote it: datasets.coco.source="/data/coco (1)"'
    )
    with pytest.raises(BoxlineError) as raised:
        overridden_params(params, ["systems.coco_yolo.train.batch_size=4,8"])
    assert str(raised.value) == (
        "overrides: systems.coco_yolo.train.batch_size=4,8: several values, expected one. "
        'If this is text, quote it: systems.coco_yolo.train.batch_size="4,8"'
    )


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\"'\\ ${}()=~#,:[]*"), max_size=20))
def test_quoted_value_is_taken_as_it_is(text: str) -> None:
    [parsed] = to_hydra_overrides([f"key={quote_value(text)}"])
    assert (parsed.is_sweep_override(), parsed.value()) == (False, text)


def test_missing_and_malformed_files_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(BoxlineError, match=r"^params.yaml not found\. Start the run in the project's root folder\.$"):
        overridden_params(path, [])
    for content in (b"a: [", b"\xff", b"a: 1\n\tb: 2\n"):
        path.write_bytes(content)
        with pytest.raises(BoxlineError, match=r"^params\.yaml is not readable: .+\. Correct it and try again\.$"):
            overridden_params(path, ["a=1"])


@pytest.mark.parametrize(
    ("content", "override"),
    [(b"a: [1]", "a.x=1"), (b"[1]", "a=1"), (b"[1]", "a.x=1"), (b"text", "+a=1"), (b"[{a: 1}]", "a.0.x=1")],
)
def test_key_that_does_not_fit_the_file_is_reported(tmp_path: Path, content: bytes, override: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(BoxlineError) as raised:
        overridden_params(path, [override])
    assert str(raised.value) == (
        f"overrides: {override}: a key does not fit params.yaml. Items of lists have numbers from 0, such as filters.0."
    )


def test_unknown_interpolation_is_reported(params: Path) -> None:
    with pytest.raises(
        BoxlineError, match=r"^overrides: datasets\.coco\.source=\$\{x\}: Interpolation key 'x' not found"
    ):
        overridden_params(params, ["datasets.coco.source=${x}"])


def test_batch_is_halved_until_it_is_one_image(params: Path) -> None:
    halves = []
    while override := halved_batch_override(params, "coco_yolo"):
        halves.append(override)
        params.write_bytes(overridden_params(params, [override]))
    assert halves == [f"systems.coco_yolo.train.batch_size={size}" for size in (4, 2, 1)]
