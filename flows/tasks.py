"""The tasks of a run. Each starts commands of DVC, Git or Boxline and is retried by kind of failure."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import State, Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from flows import reports
from flows.failures import RETRY_LIMITS, TRAINING_RETRY_LIMITS, Failure, FailureKind, RetryState, classify_failure
from flows.graph import missing_outputs
from flows.overrides import halved_batch_override
from flows.processes import CommandResult, CommandRunner
from flows.progress import ProgressArtifact, RateLimitedLog, best_effort
from flows.runs import restore_lockfile
from flows.workspace import LeaseOwner, Workspace
from pipeline.core.progress import PROGRESS_VARIABLE
from pipeline.core.recorded_runs import RUNS_BRANCH

TRAINING = "train"
"""The stage that needs the GPU, or all cores, for itself."""

HOUR = 60.0
TIME_LIMITS_MINUTES = {"download": 48 * HOUR, TRAINING: 72 * HOUR}
DEFAULT_TIME_LIMIT_MINUTES = 12 * HOUR
FIRST_RETRY_DELAY_SECONDS = 2

BIN = Path(sys.executable).parent
SKIP_REASONS = {
    r"Stage '.+' didn't change, skipping": "no dependency has changed",
    r"Stage '.+' is cached - skipping run": "an earlier run had the same dependencies",
}
"""DVC's messages for stages that it does not run, and what they mean."""

Future = PrefectFuture[Any]


class TaskError(Exception):
    """A command of a task failed."""

    def __init__(self, task_name: str, failure: Failure, log_file: Path) -> None:
        super().__init__(f"{task_name}: {failure.kind}. {failure.reason} (full output: {log_file})")


@dataclass(frozen=True)
class RunContext:
    """What the tasks of a run share.

    Attributes:
        workspace: where the commands run.
        commands: runs them.
        log_dir: folder for the output of each task.
        time_limits_minutes: by name of a task up to the "@"; DEFAULT_TIME_LIMIT_MINUTES for others.

    """

    workspace: Workspace
    commands: CommandRunner
    log_dir: Path
    time_limits_minutes: Mapping[str, float]


class TaskContext:
    """The name of a task, its failures so far, and how it runs commands."""

    def __init__(self, run: RunContext, name: str) -> None:
        self.run = run
        self.name = name
        self.retry_state = RetryState(TRAINING_RETRY_LIMITS if is_training(name) else RETRY_LIMITS)

    @property
    def workspace(self) -> Workspace:
        """The workspace of the run."""
        return self.run.workspace

    def run_command(self, *argv: str | Path) -> CommandResult:
        """Run a command, with its output in the log and its progress on the page of the run.

        Raises:
            TaskError: if the command fails; the failure is recorded for the decision about a retry.

        """
        log_file, progress_file = (self.run.log_dir / f"{self.name}.{suffix}" for suffix in ("log", "progress"))
        limit_minutes = self.run.time_limits_minutes.get(self.name.partition("@")[0], DEFAULT_TIME_LIMIT_MINUTES)
        env = {**self.workspace.env, PROGRESS_VARIABLE: str(progress_file)}
        log = RateLimitedLog(get_run_logger(), log_file)
        with ProgressArtifact(self.name, progress_file, get_run_logger()):
            result = self.run.commands.run(argv, self.workspace.folder, log_file, log.log_line, 60 * limit_minutes, env)
        log.close()
        if failure := classify_failure(result):
            self.retry_state.record(failure.kind)
            raise TaskError(self.name, failure, log_file)
        return result


def is_training(task_name: str) -> bool:
    """Return whether a task runs a training stage."""
    return task_name.startswith(f"{TRAINING}@")


def submit_task(
    function: Task[..., State[Any]], context: TaskContext, *args: Any, wait_for: Iterable[Future] = (), **kwargs: Any
) -> Future:
    """Submit a task under the name of its context, with retries by kind of failure.

    Args:
        function: a task of this module.
        context: its first argument.
        *args: its other arguments.
        wait_for: tasks that must complete before it starts; Prefect does not start it if one of them fails.
        **kwargs: its keyword arguments.

    """
    named = function.with_options(
        name=context.name,
        task_run_name=context.name,
        cache_policy=NO_CACHE,  # DVC decides what has to run
        retries=sum(TRAINING_RETRY_LIMITS.values()),
        retry_delay_seconds=exponential_backoff(backoff_factor=FIRST_RETRY_DELAY_SECONDS),
        retry_jitter_factor=0.5,
        retry_condition_fn=lambda *_: context.retry_state.should_retry(),  # Prefect ignores bound methods
    )
    return named.submit(context, *args, return_state=False, wait_for=list(wait_for), **kwargs)


@task
def check_params(context: TaskContext, overrides: Sequence[str]) -> State[Any]:
    """Apply the overrides and check all of params.yaml, before hours of work."""
    if overrides:
        context.workspace.override_params(overrides)
    context.run_command(BIN / "boxline", "params")
    return Completed(message="params.yaml is valid.")


@task
def pull_outputs(context: TaskContext, stages: Sequence[str], remote: str | None, git_remote: str | None) -> State[Any]:
    """Pull outputs of the stages that earlier runs made and the workspace lacks.

    Args:
        context: name, failures and commands of the task.
        stages: names of stages.
        remote: the DVC remote, if there is one.
        git_remote: where a clone without dvc.lock fetches the recorded runs from.

    """
    if remote is None:
        return Completed(name="Skipped", message="Skipped: no DVC remote is configured.")
    workspace = context.workspace
    if not workspace.lockfile.exists():
        if git_remote:
            _fetch_recorded_runs(context, git_remote)
        revision = restore_lockfile(workspace.folder)
        if revision:
            get_run_logger().info("restored dvc.lock from the last recorded run on %s", revision)
            workspace.backup_lockfile()
    missing = missing_outputs(workspace.folder, stages)
    if not missing:
        return Completed(name="Skipped", message="Skipped: every output in dvc.lock is in the workspace.")
    context.run_command(BIN / "dvc", "pull", "--run-cache", "--allow-missing", "--remote", remote, *missing)
    unavailable = missing_outputs(workspace.folder, stages)
    if unavailable:  # with --allow-missing, DVC reports these as fetched
        return Completed(message=f"The remote {remote} lacks {', '.join(unavailable)}; these outputs are rebuilt.")
    return Completed(message=f"Pulled outputs of earlier runs: {len(missing)}.")


def _fetch_recorded_runs(context: TaskContext, git_remote: str) -> None:
    """Fetch the branch of recorded runs, which shallow and old clones lack, if the remote has it."""
    listed = context.run_command("git", "ls-remote", git_remote, f"refs/heads/{RUNS_BRANCH}")
    if listed.tail.strip():
        refspec = f"+refs/heads/{RUNS_BRANCH}:refs/remotes/origin/{RUNS_BRANCH}"
        context.run_command("git", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", git_remote, refspec)


@task
def reproduce_stage(context: TaskContext, *, force: bool, previous_metrics: Mapping[str, Any]) -> State[Any]:
    """Run one stage with DVC if it is out of date, and publish its artifacts.

    Args:
        context: name, failures and commands of the task; its name is that of the stage.
        force: whether the stage runs although it is up to date.
        previous_metrics: metrics of the last recorded run, for comparison.

    """
    stage, workspace = context.name, context.workspace
    if context.retry_state.last_kind is FailureKind.OUT_OF_MEMORY:
        _halve_batch(workspace, system=stage.partition("@")[2])
    force_option = ["--force"] if force else []
    try:
        result = context.run_command(BIN / "dvc", "--wait-for-lock", "repro", "--single-item", *force_option, stage)
    except TaskError:
        with best_effort(get_run_logger()):
            reports.publish_failure_artifacts(workspace.folder, stage)
        raise
    context.retry_state.clear()  # errors from here on are not failures of the stage
    workspace.backup_lockfile()
    with best_effort(get_run_logger()):
        reports.publish_artifacts(workspace.folder, stage, previous_metrics)
    for pattern, reason in SKIP_REASONS.items():
        if re.search(pattern, result.tail):
            return Completed(name="Skipped", message=f"Skipped: {reason}.")
    return Completed(message="Done.")


def _halve_batch(workspace: Workspace, system: str) -> None:
    override = halved_batch_override(workspace.params_file, system)
    if override:
        get_run_logger().warning("out of memory: retrying with half the batch, %s", override)
        workspace.override_params([override])


@task
def push_outputs(context: TaskContext, remote: str | None) -> State[Any]:
    """Push new outputs and verify that the remote has all of them, which DVC's own push does not detect."""
    if remote is None:
        return Completed(name="Skipped", message="Skipped: no DVC remote is configured, so nothing was pushed.")
    if not context.workspace.lockfile.exists():
        return Completed(name="Skipped", message="Skipped: there is no dvc.lock, so there are no outputs.")
    context.run_command(BIN / "dvc", "push", "--run-cache", "--remote", remote)
    context.run_command(BIN / "boxline", "verify", "--remote", remote)
    return Completed(message=f"The remote {remote} has every object in dvc.lock.")


@task
def record_run(context: TaskContext, owner: LeaseOwner, git_remote: str | None) -> State[Any]:
    """Record the run on the branch of runs, and push that branch if there is a Git remote."""
    push_option = ["--push", git_remote] if git_remote else []
    identity = ["--flow-run-id", owner.flow_run_id, "--started", owner.since]
    result = context.run_command(BIN / "boxline", "record", *identity, *push_option)
    return Completed(message=result.tail.strip().splitlines()[-1])
