"""Runs that the server takes for running while nothing runs: when worker and flow die together, it keeps them so."""

import contextlib
import socket
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Crashed

from flows.hooks import tell
from flows.processes import is_alive
from flows.workspace import Holder

UNFINISHED = [StateType.RUNNING, StateType.CANCELLING, StateType.PENDING]
FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""In the environment of a process that a worker starts for a run."""


def mark_crashed(killed: Holder) -> None:
    """Say to the server what it cannot know: that run was killed."""
    if killed.flow_run_id is not None:
        with get_client(sync_client=True) as client:
            _mark(client, killed.flow_run_id, f"Its process {killed.process_id} on {killed.host} was killed.")


def mark_zombies(flow_names: list[str], own_run_id: str) -> list[str]:
    """Mark the unfinished runs of those flows whose process on this machine is gone; return their names."""
    unfinished = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=flow_names)), flow_run_filter=unfinished
        )
        zombies = [run for run in runs if str(run.id) != own_run_id and _is_gone(run)]
        for run in zombies:
            _mark(client, str(run.id), f"Its process {run.infrastructure_pid} is gone.")
    return [run.name for run in zombies]


def _is_gone(run: FlowRun) -> bool:
    """Whether the run had a process on this machine that is gone. Of other machines this one knows nothing."""
    host, _, number = (run.infrastructure_pid or "").rpartition(":")
    if host != socket.gethostname() or not number.isdigit():
        return False
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(int(number))
        return not is_alive(process) or process.environ().get(FLOW_RUN_VARIABLE, str(run.id)) != str(run.id)
    return True


def _mark(client: SyncPrefectClient, flow_run_id: str, message: str) -> None:
    """The run and its unfinished tasks as crashed, unless it has ended meanwhile. The server calls no hooks then."""
    run = client.read_flow_run(UUID(flow_run_id))
    if run.state is not None and run.state.is_final():
        return
    crashed: State[Any] = Crashed(message=message)
    client.set_flow_run_state(run.id, crashed, force=True)
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
    )
    for task in tasks:
        if task.state is not None and not task.state.is_final():
            client.set_task_run_state(task.id, Crashed(message=message), force=True)
    tell(client.read_flow(run.flow_id).name, run, crashed)
