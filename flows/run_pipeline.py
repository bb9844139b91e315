"""The flow `pipeline`: brings the project up to date, with one task per DVC stage in the order of DVC's graph.

The module is not called pipeline.py: Prefect puts the folder of a flow first on Python's path, where that name would
hide the package `pipeline`.
"""

import functools
import queue
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from prefect import State, Task, flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field
from ruamel.yaml import YAML

from flows.graph import default_remote, plan_stages
from flows.notifications import notify
from flows.overrides import overridden_params
from flows.parameters import Minutes, Text, check_parameters, require_remotes, require_stages
from flows.processes import CommandRunner
from flows.reports import run_tags
from flows.runs import last_metrics
from flows.tasks import (
    TIME_LIMITS_MINUTES,
    Future,
    RunContext,
    TaskContext,
    TaskError,
    check_params,
    is_training,
    pull_outputs,
    push_outputs,
    record_run,
    reproduce_stage,
    submit_task,
)
from flows.workspace import LeaseOwner, Workspace, WorkspaceLockedError
from flows.zombies import mark_crashed
from pipeline.core.errors import BoxlineError
from pipeline.core.git import short_commit

OTHER_TASKS = ("parameters", "pull", "push", "record")
"""Names of the tasks that run no stage."""


@dataclass(frozen=True)
class TaskOutcome:
    """The name of a task and its last state."""

    name: str
    state: State[Any]

    @classmethod
    def wait(cls, name: str, future: Future) -> "TaskOutcome":
        """Wait until the task has ended."""
        future.wait()
        return cls(name, future.state)

    @property
    def error(self) -> str:
        """Why the task failed."""
        error = self.state.result(raise_on_failure=False)
        return str(error) if isinstance(error, TaskError | BoxlineError) else f"{self.name}: {self.state.message}"


@flow(
    name="pipeline",
    task_runner=ThreadPoolTaskRunner(),  # type: ignore[arg-type]  # the stub expects one without a result type
    on_failure=[notify],
    on_crashed=[notify],
    validate_parameters=False,  # check_parameters does
)
@check_parameters
def run_pipeline(
    targets: Sequence[Text] = (),
    overrides: Sequence[Text] = (),
    force: Sequence[Text] = (),
    pull: bool = True,
    push: bool = True,
    remote: Text | None = None,
    git_remote: Text | None = None,
    max_parallel_stages: Annotated[int, Field(ge=1, le=64)] = 2,
    time_limits_minutes: dict[str, Minutes] | None = None,
) -> State[Any]:
    """Bring the project in the working directory up to date, as `dvc repro` does, with monitoring and retries.

    Args:
        targets: stages such as train@coco_yolo, or names of several such as validate; empty for all.
        overrides: values for params.yaml during the run, such as systems.coco_yolo.train.phases.all.epochs=60.
        force: stages to run even if nothing has changed.
        pull: whether to pull missing outputs that the remote has.
        push: whether to push all outputs to the remote and verify that it has each of them.
        remote: the DVC remote; the default one if none is named.
        git_remote: where the branch of recorded runs is pushed to, and fetched from by a clone without dvc.lock.
            Without one it is neither pushed nor fetched.
        max_parallel_stages: how many stages may run at once, 1 to 64. Two trainings never do.
        time_limits_minutes: limits by name of a stage up to the "@", such as train, or of a task (parameters, pull,
            push, record), up to a year; what takes longer is terminated.

    """
    workspace = Workspace(Path.cwd())
    owner = LeaseOwner.current_process(str(flow_run.id), str(flow_run.name))
    try:
        require_stages(workspace.folder, "targets", targets)
        require_stages(workspace.folder, "force", force)
        limited_stages = [name for name in time_limits_minutes or {} if name not in OTHER_TASKS]
        require_stages(workspace.folder, "time_limits_minutes", limited_stages)
        require_remotes(workspace.folder, remote, git_remote)
        overridden_params(workspace.params_file, overrides)
        # Prefect cancels a run by an exception in this thread only. The commands of other threads run until the
        # command runner is closed, and the workspace must not be released before.
        with workspace.acquire(owner) as killed, CommandRunner() as commands:
            if killed:
                get_run_logger().warning("%s was killed; the workspace has been recovered", killed)
                mark_crashed(killed)
            limits = {**TIME_LIMITS_MINUTES, **(time_limits_minutes or {})}
            run = RunContext(workspace, commands, workspace.state_dir / "logs" / str(flow_run.id), limits)
            remote = remote or default_remote(workspace.folder)
            plan = plan_stages(workspace.folder, targets)
            forced = _forced_stages(plan, force)
            _set_tags(plan, workspace)

            outcomes = [_run_task(check_params, run, "parameters", overrides)]
            if pull and _all_completed(outcomes):
                outcomes.append(_run_task(pull_outputs, run, "pull", list(plan), remote, git_remote))
            if _all_completed(outcomes):
                outcomes += _run_stages(run, plan, forced, max_parallel_stages)
            if push:  # also after a failure: what the other stages made may have taken days
                outcomes.append(_run_task(push_outputs, run, "push", remote))
            if _all_completed(outcomes):
                outcomes.append(_run_task(record_run, run, "record", owner, git_remote))
            return _final_state(outcomes)
    except WorkspaceLockedError as error:
        return Completed(name="Skipped", message=f"Skipped: the workspace is {error}.")
    except BoxlineError as error:
        return Failed(message=str(error))


def _run_task(function: Task[..., State[Any]], run: RunContext, name: str, *args: Any) -> TaskOutcome:
    return TaskOutcome.wait(name, submit_task(function, TaskContext(run, name), *args))


def _run_stages(
    run: RunContext, plan: Mapping[str, set[str]], forced: set[str], max_parallel_stages: int
) -> list[TaskOutcome]:
    """Run the stages of a plan, each after the stages that it depends on, and several at once."""
    previous_metrics = last_metrics(run.workspace.folder)
    waiting = list(plan)
    running: dict[str, Future] = {}
    done: dict[str, Future] = {}
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    while waiting or running:
        for stage in [stage for stage in waiting if plan[stage] <= done.keys()]:
            if len(running) >= max_parallel_stages or (is_training(stage) and any(map(is_training, running))):
                continue
            waiting.remove(stage)
            running[stage] = submit_task(
                reproduce_stage,
                TaskContext(run, stage),
                wait_for=[done[dependency] for dependency in plan[stage]],
                force=stage in forced,
                previous_metrics=previous_metrics,
            )
            running[stage].add_done_callback(functools.partial(_put, ended, stage))
        stage = ended.get()
        done[stage] = running.pop(stage)
    return [TaskOutcome.wait(stage, done[stage]) for stage in plan]


def _put(ended: "queue.SimpleQueue[str]", stage: str, _: Future) -> None:
    ended.put(stage)


def _forced_stages(plan: Mapping[str, object], force: Sequence[str]) -> set[str]:
    """Return the stages of the plan that `force` names, either in full or up to the "@"."""
    matches = {word: {stage for stage in plan if word in (stage, stage.partition("@")[0])} for word in force}
    for word, stages in matches.items():
        if not stages:
            raise BoxlineError(f"force: {word} is not a stage of this run; expected one of {', '.join(plan)}.")
    return set().union(*matches.values())


def _set_tags(plan: Iterable[str], workspace: Workspace) -> None:
    """Tag the run with datasets, systems and commit, by which the server's pages filter runs."""
    params = YAML(typ="safe", pure=True).load(workspace.params_file)
    tags = run_tags(plan, params["datasets"], short_commit(workspace.folder))
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags={*flow_run.tags, *tags})


def _all_completed(outcomes: Iterable[TaskOutcome]) -> bool:
    return all(outcome.state.is_completed() for outcome in outcomes)


def _final_state(outcomes: Sequence[TaskOutcome]) -> State[Any]:
    """Return the state of the run, with a summary of its tasks in one line."""
    failed = [outcome for outcome in outcomes if outcome.state.is_failed() or outcome.state.is_crashed()]
    not_run = [outcome.name for outcome in outcomes if not outcome.state.is_final()]
    if failed or not_run:
        errors = "; ".join(outcome.error for outcome in failed)
        return Failed(message=f"{errors} Not run: {', '.join(not_run)}." if not_run else errors)
    skipped = sum(outcome.state.name == "Skipped" for outcome in outcomes)
    return Completed(message=f"Up to date: {len(outcomes) - skipped} tasks completed, {skipped} skipped.")
