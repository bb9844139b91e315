"""Parts of the flow `pipeline` that need no server."""

from pathlib import Path

import pytest
from prefect.states import Completed, Crashed, Failed, Pending

from flows.failures import Failure, FailureKind
from flows.run_pipeline import TaskOutcome, _final_state, _forced_stages
from flows.tasks import TaskError
from pipeline.core.errors import BoxlineError

PLAN: dict[str, set[str]] = {"download@coco": set(), "download@digits": set(), "train@coco_yolo": {"download@coco"}}


@pytest.mark.parametrize(
    ("force", "stages"),
    [
        ([], set()),
        (["download@coco"], {"download@coco"}),
        (["download", "train@coco_yolo"], set(PLAN)),
    ],
)
def test_forced_stages_are_named_in_full_or_without_their_key(force: list[str], stages: set[str]) -> None:
    assert _forced_stages(PLAN, force) == stages


def test_forced_stage_outside_of_the_plan_raises() -> None:
    message = r"^force: tables is not a stage of this run; expected one of download@coco, download@digits, train@coco"
    with pytest.raises(BoxlineError, match=message):
        _forced_stages(PLAN, ["train", "tables"])


def test_final_state_counts_skipped_tasks() -> None:
    outcomes = [TaskOutcome("pull", Completed(name="Skipped")), TaskOutcome("push", Completed())]
    state = _final_state(outcomes)
    assert (state.name, state.message) == ("Completed", "Up to date: 1 tasks completed, 1 skipped.")


def test_final_state_names_failed_tasks_and_those_that_were_not_run() -> None:
    error = TaskError("a", Failure(FailureKind.INPUT, "Error: bad"), Path("a.log"))
    outcomes = [
        TaskOutcome("a", Failed(data=error)),
        TaskOutcome("b", Crashed(message="lost", data=RuntimeError())),
        TaskOutcome("c", Pending(name="NotReady")),
    ]
    state = _final_state(outcomes)
    assert (state.name, state.message) == (
        "Failed",
        "a: invalid data or parameters. Error: bad (full output: a.log); b: lost Not run: c.",
    )
