"""The flow `housekeeping`: cleans up after killed runs, on the server and in the workspace."""

from pathlib import Path
from typing import Any

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.notifications import notify
from flows.workspace import LeaseOwner, Workspace, WorkspaceLockedError
from flows.zombies import mark_crashed, mark_zombies

FLOW_NAMES = ["pipeline", "watch_sources", "housekeeping"]


@flow(name="housekeeping", on_failure=[notify], on_crashed=[notify])
def housekeeping() -> State[Any]:
    """Mark killed runs as crashed, terminate the processes that they left running, and recover the workspace."""
    crashed = mark_zombies(FLOW_NAMES, own_run_id=str(flow_run.id))
    owner = LeaseOwner.current_process(str(flow_run.id), f"housekeeping {flow_run.name}", others_wait=True)
    try:
        with Workspace(Path.cwd()).acquire(owner) as killed:
            if killed:
                mark_crashed(killed)
                crashed.append(killed.name)
    except WorkspaceLockedError as error:
        return Completed(message=f"{_summary(crashed)} The workspace is {error}.")
    return Completed(message=f"{_summary(crashed)} The workspace is free.")


def _summary(crashed: list[str]) -> str:
    return f"Runs marked as crashed: {', '.join(sorted(set(crashed)))}." if crashed else "No killed runs found."
