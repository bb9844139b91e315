"""Downloads that changed sources force."""

from pathlib import Path

import pytest

from flows.watch_sources import required_downloads
from tests.support.flow_projects import make_project

DVC_YAML = """
stages:
  download:
    foreach: [coco, digits, snacks]
    do: {cmd: "echo 1 > ${item}.1", outs: ["${item}.1"]}
  train:
    foreach: [coco, digits]
    do: {cmd: "cp ${item}.1 ${item}.2", deps: ["${item}.1"], outs: ["${item}.2"]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"), DVC_YAML)


@pytest.mark.parametrize(
    ("targets", "downloads"),
    [
        ([], ["download@coco", "download@snacks"]),
        (["train"], ["download@coco"]),
        (["download@snacks", "train@digits"], ["download@snacks"]),
        (["train@digits"], []),
    ],
)
def test_changed_source_is_downloaded_if_a_target_depends_on_it(
    project: Path, targets: list[str], downloads: list[str]
) -> None:
    assert required_downloads(["coco", "snacks"], project, targets) == downloads
