"""Tasks called as functions, with a real DVC and without a Prefect server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings
from ruamel.yaml import YAML

from flows.failures import FailureKind
from flows.processes import CommandRunner
from flows.tasks import RunContext, TaskContext, TaskError, is_training, reproduce_stage
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
  broken:
    foreach: [coco]
    do: {cmd: "echo Error: bad && exit 1"}
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunContext]:
    """A run without logs."""
    (tmp_path / "params.yaml").write_text("systems: {coco_yolo: {train: {batch_size: 16}}}\n")
    workspace = Workspace(make_project(tmp_path, STAGES))
    workspace.state_dir.mkdir(parents=True)
    with disable_run_logger(), CommandRunner() as commands:
        yield RunContext(workspace, commands, workspace.state_dir / "logs", {})


@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")
def test_stage_completes_without_the_server_for_its_artifacts(run: RunContext) -> None:
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        state = reproduce_stage.fn(TaskContext(run, "validate@coco"), force=False, previous_metrics={})
    assert (state.name, state.message) == ("Completed", "Done.")


def test_batch_is_halved_only_for_the_attempt_after_running_out_of_memory(run: RunContext) -> None:
    context = TaskContext(run, "train@coco_yolo")
    context.retry_state.record(FailureKind.OUT_OF_MEMORY)
    batch_sizes = []
    for _ in range(2):
        reproduce_stage.fn(context, force=True, previous_metrics={})
        params = YAML(typ="safe").load(run.workspace.params_file.read_text())
        batch_sizes.append(params["systems"]["coco_yolo"]["train"]["batch_size"])
    assert batch_sizes == [8, 8]
    assert not context.retry_state.should_retry()


def test_failed_command_is_recorded_with_its_kind_and_its_log(run: RunContext) -> None:
    context = TaskContext(run, "broken@coco")
    log_file = run.log_dir / "broken@coco.log"
    with pytest.raises(TaskError) as raised:
        reproduce_stage.fn(context, force=False, previous_metrics={})
    assert str(raised.value) == f"broken@coco: invalid data or parameters. Error: bad (full output: {log_file})"
    assert log_file.read_text().startswith("Running stage 'broken@coco':\n")
    assert context.retry_state.last_kind is FailureKind.INPUT


def test_only_training_stages_are_trainings() -> None:
    names = ["train@coco_yolo", "evaluate@coco_yolo", "train", "trainer@a"]
    assert [is_training(name) for name in names] == [True, False, False, False]
