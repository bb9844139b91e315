"""Tasks of a run beside a real DVC, without a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from flows.failures import Kind
from flows.pipeline import Run
from flows.processes import Commands
from flows.workspace import Workspace
from tests.support.flow_projects import make_project
from tests.support.servers import free_port

pytestmark = pytest.mark.slow

STAGES = """\
stages:
  validate:
    foreach: [coco]
    do:
      cmd: mkdir -p reports/${item} && echo 3 of 9 rows > reports/${item}/validate.md
      outs: ["reports/${item}/validate.md"]
  train:
    foreach: [coco_yolo]
    do:
      cmd: echo weights > model
      params: ["systems.${item}.train.batch_size"]
      outs: [model]
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run of which nothing is said."""
    (tmp_path / "params.yaml").write_text("systems: {coco_yolo: {train: {batch_size: 16}}}\n")
    workspace = Workspace(make_project(tmp_path, STAGES))
    workspace.state.mkdir(parents=True)
    with disable_run_logger(), Commands() as commands:
        yield Run(workspace, commands, workspace.state / "logs", {})


@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")
def test_a_stage_is_done_although_nobody_can_be_shown_what_it_made(run: Run) -> None:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        state = run.stage("validate@coco", force=False, before={})
    assert (state.name, state.message) == ("Completed", "Done.")


def test_the_batch_is_halved_for_the_try_after_a_lack_of_memory_and_no_other(run: Run) -> None:
    run.failures["train@coco_yolo"] = [Kind.OUT_OF_MEMORY]
    batches = []
    for _ in range(2):
        run.stage("train@coco_yolo", force=True, before={})
        params = YAML(typ="safe").load((run.workspace.folder / "params.yaml").read_text())
        batches.append(params["systems"]["coco_yolo"]["train"]["batch_size"])
    assert batches == [8, 8]
    assert not run.may_try_again("train@coco_yolo")
