"""The run of a project: one task per DVC stage, in the order of DVC's own graph."""

import queue
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, Task, flow, get_run_logger
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff
from ruamel.yaml import YAML

from flows import reports
from flows.failures import RETRIES, Failure, Kind, failure_of
from flows.graph import UnknownTargetError, default_remote, missing_outputs, stages_of
from flows.hooks import notify
from flows.overrides import PARAMS, OverrideError, halved_batch
from flows.processes import Commands, Ended
from flows.progress import PROGRESS_VARIABLE, Lines, Progress, shown_or_not
from flows.runs import BRANCH, adopt_lock, commit_of, last_metrics
from flows.workspace import LOCK, HeldError, Holder, Workspace
from flows.zombies import mark_crashed

TRAINING = "train"
"""The stage that wants a GPU, or all cores, for itself."""

HOUR = 60.0
TIME_LIMITS_MINUTES = {"download": 48 * HOUR, TRAINING: 72 * HOUR}
OTHER_LIMIT_MINUTES = 12 * HOUR
FIRST_PAUSE_SECONDS = 2

BIN = Path(sys.executable).parent
SKIPPED = {
    r"Stage '.+' didn't change, skipping": "nothing that it depends on has changed",
    r"Stage '.+' is cached - skipping run": "an earlier run with the same dependencies has made it",
}
"""What DVC says of a stage that it does not run, and what that means."""

Future = PrefectFuture[Any]


class TaskError(Exception):
    """A command that failed, and why."""

    def __init__(self, name: str, failure: Failure, log: Path) -> None:
        super().__init__(f"{name}: {failure.kind}. {failure.reason} (all that it said: {log})")


@dataclass(frozen=True)
class Step:
    """A task of a run and how it ended."""

    name: str
    state: State[Any]

    @classmethod
    def of(cls, name: str, future: Future) -> "Step":
        """Once it has ended."""
        future.wait()
        return cls(name, future.state)

    @property
    def reason(self) -> str:
        """Why it failed."""
        error = self.state.result(raise_on_failure=False)
        return str(error) if isinstance(error, TaskError | OverrideError) else f"{self.name}: {self.state.message}"


@dataclass(frozen=True)
class Run:
    """What the tasks of one run have in common. `failures` are the kinds so far, by task."""

    workspace: Workspace
    commands: Commands
    logs: Path
    time_limits_minutes: Mapping[str, float]
    failures: dict[str, list[Kind]] = field(default_factory=dict)

    def submit(self, name: str, work: Callable[[], State[Any]], after: Iterable[Future] = ()) -> Future:
        """Start `work` as a task of that name, which is tried again as its failures deserve."""
        task: Task[[], State[Any]] = Task(
            fn=work,
            name=name,
            task_run_name=name,
            cache_policy=NO_CACHE,  # DVC alone decides what is done
            retries=sum(RETRIES.values()),
            retry_delay_seconds=exponential_backoff(backoff_factor=FIRST_PAUSE_SECONDS),
            retry_jitter_factor=0.5,
            retry_condition_fn=lambda *_: self.may_try_again(name),
        )
        return task.submit(return_state=False, wait_for=list(after))

    def finished(self, name: str, work: Callable[[], State[Any]]) -> Step:
        """Run `work` as a task of that name to its end."""
        return Step.of(name, self.submit(name, work))

    def may_try_again(self, name: str) -> bool:
        """Whether the last failure of a task is worth another try."""
        kinds = self.failures.get(name, [])
        if not kinds or (kinds[-1] is Kind.OUT_OF_MEMORY and not _is_training(name)):
            return False
        return kinds.count(kinds[-1]) <= RETRIES.get(kinds[-1], 0)

    def command(self, name: str, words: Sequence[str | Path]) -> Ended:
        """Run a command of the task `name`. Raises TaskError where it fails."""
        log, progress = self.logs / f"{name}.log", self.logs / f"{name}.progress"
        limit_minutes = self.time_limits_minutes.get(name.partition("@")[0], OTHER_LIMIT_MINUTES)
        variables = {**self.workspace.variables, PROGRESS_VARIABLE: str(progress)}
        lines = Lines(get_run_logger(), log)
        with Progress(name, progress, get_run_logger()):
            ended = self.commands.run(words, self.workspace.folder, log, lines.tell, 60 * limit_minutes, variables)
        lines.close()
        if failure := failure_of(ended):
            self.failures.setdefault(name, []).append(failure.kind)
            raise TaskError(name, failure, log)
        return ended

    def stage(self, name: str, *, force: bool, before: Mapping[str, Any]) -> State[Any]:
        """Let DVC do what there is to do for one stage, and show what it made."""
        if self.failures.get(name, [])[-1:] == [Kind.OUT_OF_MEMORY]:
            self._halve_batch(name.partition("@")[2])
        forced = ["--force"] if force else []
        try:
            ended = self.command(name, [BIN / "dvc", "--wait-for-lock", "repro", "--single-item", *forced, name])
        except TaskError:
            with shown_or_not(get_run_logger()):
                reports.publish_failure(self.workspace.folder, name)
            raise
        self.failures.pop(name, None)  # what comes after the stage is none of its failures
        self.workspace.keep_lock()
        with shown_or_not(get_run_logger()):
            reports.publish(self.workspace.folder, name, before)
        for saying, reason in SKIPPED.items():
            if re.search(saying, ended.tail):
                return Completed(name="Skipped", message=f"Skipped: {reason}.")
        return Completed(message="Done.")

    def _halve_batch(self, system: str) -> None:
        smaller = halved_batch(self.workspace.folder / PARAMS, system)
        if smaller:
            get_run_logger().warning("out of memory: once more with half the batch, %s", smaller)
            self.workspace.override([smaller])


@flow(
    name="pipeline",
    task_runner=ThreadPoolTaskRunner(),  # type: ignore[arg-type]  # the stub asks for one without a type of results
    on_failure=[notify],
    on_crashed=[notify],
)
def pipeline(
    targets: list[str] = [],  # noqa: B006  # a list is what Prefect's form shows, and nobody changes it
    overrides: list[str] = [],  # noqa: B006
    force: list[str] = [],  # noqa: B006
    pull: bool = True,
    push: bool = True,
    remote: str | None = None,
    git_remote: str | None = None,
    side_by_side: int = 2,
    time_limits_minutes: dict[str, float] = {},  # noqa: B006
) -> State[Any]:
    """Bring the project in the working folder up to date, as `dvc repro` does: watched, and tried again where it helps.

    Args:
        targets: stages, such as train@coco_yolo, or all of a name, such as validate; none stands for all.
        overrides: values for params.yaml while it runs, such as systems.coco_yolo.train.phases.all.epochs=60.
        force: stages to run even if nothing has changed.
        pull: fetch outputs that are not here, where the remote has them.
        push: send all outputs to the remote, and ask it for each of them afterwards.
        remote: a DVC remote; the default one where none is named.
        git_remote: where the branch of recorded runs is pushed to, and fetched from by a clone without dvc.lock;
            nowhere where none is named.
        side_by_side: how many stages may run at once. Two trainings never do.
        time_limits_minutes: by the first word of a stage, such as train; one that takes longer is ended.

    """
    workspace = Workspace(Path.cwd())
    holder = Holder.here(str(flow_run.id), str(flow_run.name))
    try:
        # Prefect cancels a run by an exception in this thread alone, so that commands go on in others until they are
        # ended here; only then is the workspace free.
        with workspace.held(holder) as killed, Commands() as commands:
            if killed:
                get_run_logger().warning("%s was killed; what it left behind is put right", killed)
                mark_crashed(killed)
            limits = {**TIME_LIMITS_MINUTES, **time_limits_minutes}
            run = Run(workspace, commands, workspace.state / "logs" / str(flow_run.id), limits)
            remote = remote or default_remote(workspace.folder)
            plan = stages_of(workspace.folder, targets)
            forced = _forced(plan, force)
            _tag(plan, workspace.folder)
            steps = [run.finished("parameters", partial(_check_parameters, run, overrides))]
            if pull and _all_completed(steps):
                steps.append(run.finished("pull", partial(_pull, run, remote, git_remote, list(plan))))
            if _all_completed(steps):
                steps += _run_stages(run, plan, forced, side_by_side)
            if push:  # also what was made beside a stage that failed: it may have taken days
                steps.append(run.finished("push", partial(_push, run, remote)))
            if _all_completed(steps):
                steps.append(run.finished("record", partial(_record, run, holder, git_remote)))
            return _outcome(steps)
    except HeldError as error:
        return Completed(name="Skipped", message=f"Skipped: the workspace is {error}.")
    except (UnknownTargetError, OverrideError) as error:
        return Failed(message=str(error))


def _run_stages(run: Run, plan: Mapping[str, set[str]], forced: set[str], side_by_side: int) -> list[Step]:
    """Run the stages of the plan, each after those before it, and several at once."""
    before = last_metrics(run.workspace.folder)
    waiting = list(plan)
    running: dict[str, Future] = {}
    done: dict[str, Future] = {}
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()
    while waiting or running:
        for name in [name for name in waiting if plan[name] <= done.keys()]:
            if len(running) >= side_by_side or (_is_training(name) and any(map(_is_training, running))):
                continue
            waiting.remove(name)
            # Prefect does not start a task after one that failed, and shows it as not ready.
            work = partial(run.stage, name, force=name in forced, before=before)
            running[name] = run.submit(name, work, [done[earlier] for earlier in plan[name]])
            running[name].add_done_callback(partial(_put, ended, name))
        name = ended.get()
        done[name] = running.pop(name)
    return [Step.of(name, done[name]) for name in plan]


def _put(ended: "queue.SimpleQueue[str]", name: str, _: Future) -> None:
    ended.put(name)


def _is_training(name: str) -> bool:
    return name.startswith(f"{TRAINING}@")


def _check_parameters(run: Run, overrides: Sequence[str]) -> State[Any]:
    """Every section of params.yaml, before hours of work."""
    if overrides:
        run.workspace.override(overrides)
    run.command("parameters", [sys.executable, "-m", "pipeline.cli.params"])
    return Completed(message="The parameters can be used.")


def _fetch_runs(run: Run, git_remote: str) -> None:
    """The branch of runs as others have it: neither a shallow clone nor an old one knows of it."""
    listed = run.command("pull", ["git", "ls-remote", git_remote, f"refs/heads/{BRANCH}"])
    if listed.tail.strip():
        words = ["git", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", git_remote]
        run.command("pull", [*words, f"+refs/heads/{BRANCH}:refs/remotes/origin/{BRANCH}"])


def _pull(run: Run, remote: str | None, git_remote: str | None, stages: Sequence[str]) -> State[Any]:
    """Fetch what earlier runs made and is not here."""
    if remote is None:
        return Completed(name="Skipped", message="Skipped: DVC has no remote here.")
    folder, lock = run.workspace.folder, run.workspace.folder / LOCK
    if git_remote and not lock.exists():
        _fetch_runs(run, git_remote)
    revision = None if lock.exists() else adopt_lock(folder, lock)
    if revision:
        get_run_logger().info("took dvc.lock from the last run recorded on %s", revision)
        run.workspace.keep_lock()
    missing = missing_outputs(folder, stages)
    if not missing:
        return Completed(name="Skipped", message="Skipped: everything that dvc.lock names is here.")
    run.command("pull", [BIN / "dvc", "pull", "--run-cache", "--allow-missing", "--remote", remote, *missing])
    lacking = missing_outputs(folder, stages)
    if lacking:  # DVC takes what it is allowed to miss for fetched
        return Completed(message=f"The remote {remote} lacks {', '.join(lacking)}: what is lacking is made again.")
    return Completed(message=f"Outputs of earlier runs that were fetched: {len(missing)}.")


def _push(run: Run, remote: str | None) -> State[Any]:
    """Send what is new, and ask the remote for each object: DVC calls a push complete that lacked its data."""
    if remote is None:
        return Completed(name="Skipped", message="Skipped: DVC has no remote here, so nothing is kept elsewhere.")
    if not (run.workspace.folder / LOCK).exists():
        return Completed(name="Skipped", message="Skipped: nothing was made.")
    run.command("push", [BIN / "dvc", "push", "--run-cache", "--remote", remote])
    run.command("push", [BIN / "boxline", "verify", "--remote", remote])
    return Completed(message=f"Every object of dvc.lock is in the remote {remote}.")


def _record(run: Run, holder: Holder, git_remote: str | None) -> State[Any]:
    """Put what ran and what it made on the branch of runs."""
    words: list[str | Path] = [
        BIN / "boxline",
        "record",
        "--flow-run-id",
        str(holder.flow_run_id),
        "--started",
        holder.since,
    ]
    pushed = ["--push", git_remote] if git_remote else []
    ended = run.command("record", [*words, *pushed])
    return Completed(message=ended.tail.strip().splitlines()[-1])


def _forced(plan: Mapping[str, object], force: Sequence[str]) -> set[str]:
    """The stages of the plan that those words name."""
    forced = {word: {name for name in plan if word in (name, name.partition("@")[0])} for word in force}
    for word, names in forced.items():
        if not names:
            raise UnknownTargetError(f"force: {word} is none of the stages that run: {', '.join(plan)}.")
    return set().union(*forced.values())


def _tag(plan: Iterable[str], folder: Path) -> None:
    """Datasets, systems and commit, by which the pages of the server find a run."""
    params = YAML(typ="safe").load((folder / PARAMS).read_text(encoding="utf-8"))
    tags = reports.tags_of(plan, params["datasets"], commit_of(folder))
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags={*flow_run.tags, *tags})


def _all_completed(steps: Iterable[Step]) -> bool:
    return all(step.state.is_completed() for step in steps)


def _outcome(steps: Sequence[Step]) -> State[Any]:
    """The state of the whole run, in one line."""
    failed = [step for step in steps if step.state.is_failed() or step.state.is_crashed()]
    not_run = [step.name for step in steps if not step.state.is_final()]
    if failed or not_run:
        reasons = "; ".join(step.reason for step in failed)
        after = f" Not run after that: {', '.join(not_run)}." if not_run else ""
        return Failed(message=f"{reasons}{after}")
    skipped = sum(step.state.name == "Skipped" for step in steps)
    return Completed(message=f"Up to date: {len(steps) - skipped} steps done, {skipped} skipped.")
