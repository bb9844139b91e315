"""Overrides of params.yaml."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.overrides import OverrideError, halved_batch_override, override_text
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
    assert override_text(params, ["systems.coco_yolo.train.batch_size=4"]) == PARAMS.replace("9", "4")
    assert params.read_text() == PARAMS


def test_values_are_typed_and_the_last_override_applies(params: Path) -> None:
    overrides = ["datasets.coco.source=/srv/coco", "systems.coco_yolo.train.seeds=[3,4]"]
    overrides += ["systems.coco_yolo.train.batch_size=4", "systems.coco_yolo.train.batch_size=2.5"]
    assert YAML(typ="safe").load(override_text(params, overrides)) == {
        "datasets": {"coco": {"source": "/srv/coco"}},
        "systems": {"coco_yolo": {"train": {"batch_size": 2.5, "seeds": [3, 4]}}},
    }


def test_no_overrides_change_no_value_of_the_project() -> None:
    own = PROJECT / "params.yaml"
    assert YAML(typ="safe").load(override_text(own, [])) == YAML(typ="safe").load(own)


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
            "overrides: batch_size: Error parsing override 'batch_size' missing EQUAL at '<EOF>' See "
            "https://hydra.cc/docs/1.2/advanced/override_grammar/basic for details",
        ),
    ],
)
def test_invalid_override_raises_an_error_of_one_line(params: Path, override: str, message: str) -> None:
    with pytest.raises(OverrideError) as raised:
        override_text(params, [override])
    assert str(raised.value) == message


def test_batch_is_halved_until_it_is_one_image(params: Path) -> None:
    halves = []
    while override := halved_batch_override(params, "coco_yolo"):
        halves.append(override)
        params.write_text(override_text(params, [override]))
    assert halves == [f"systems.coco_yolo.train.batch_size={size}" for size in (4, 2, 1)]
