"""Zombie runs: the server still shows them as running, but their process is gone.

They result when the worker is killed together with the flow, since only the worker would have reported the crash.
"""

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

from flows.notifications import send_notification
from flows.processes import is_alive
from flows.workspace import LeaseOwner

UNFINISHED = [StateType.RUNNING, StateType.CANCELLING, StateType.PENDING]
FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
"""In the environment of each process that a worker starts for a run."""


def mark_crashed(killed: LeaseOwner) -> None:
    """Mark a killed run as crashed on the server."""
    with get_client(sync_client=True) as client:
        message = f"Process {killed.process_id} on {killed.host} was killed."
        _mark_crashed(client, killed.flow_run_id, message)


def mark_zombies(flow_names: list[str], own_run_id: str) -> list[str]:
    """Mark unfinished runs of these flows as crashed if their process on this machine is gone; return their names."""
    unfinished = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=flow_names)), flow_run_filter=unfinished
        )
        zombies = [run for run in runs if str(run.id) != own_run_id and _is_zombie(run)]
        for run in zombies:
            _mark_crashed(client, str(run.id), f"Process {run.infrastructure_pid} no longer exists.")
    return [run.name for run in zombies]


def _is_zombie(run: FlowRun) -> bool:
    """Return whether the run had a process on this machine that is gone; False for other machines."""
    host, _, process_id = (run.infrastructure_pid or "").rpartition(":")
    if host != socket.gethostname() or not process_id.isdigit():
        return False
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(int(process_id))
        # A process of the same id may be another one; if its environment lacks the variable, assume it is the run's.
        return not is_alive(process) or process.environ().get(FLOW_RUN_VARIABLE, str(run.id)) != str(run.id)
    return True


def _mark_crashed(client: SyncPrefectClient, flow_run_id: str, message: str) -> None:
    """Mark a run and its unfinished tasks as crashed, unless the run has ended meanwhile.

    The notification is sent here: the server does not call the flow's hooks.
    """
    run = client.read_flow_run(UUID(flow_run_id))
    if run.state is not None and run.state.is_final():
        return
    crashed: State[Any] = Crashed(message=message)
    client.set_flow_run_state(run.id, crashed, force=True)
    for task_run in client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))):
        if task_run.state is not None and not task_run.state.is_final():
            client.set_task_run_state(task_run.id, Crashed(message=message), force=True)
    send_notification(client.read_flow(run.flow_id).name, run, crashed)
