"""Puts right what killed runs left behind, on the server and in the workspace, between the runs that would do so."""

from pathlib import Path
from typing import Any

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.hooks import notify
from flows.workspace import HeldError, Holder, Workspace
from flows.zombies import mark_crashed, mark_zombies

FLOWS = ["pipeline", "upstream", "housekeeping"]


@flow(name="housekeeping", on_failure=[notify], on_crashed=[notify])
def housekeeping() -> State[Any]:
    """Mark runs as crashed whose process is gone, end what they left running, and free what they held."""
    found = mark_zombies(FLOWS, own_run_id=str(flow_run.id))
    workspace = Workspace(Path.cwd())
    try:
        with workspace.held(Holder.here(str(flow_run.id), f"housekeeping {flow_run.name}", is_brief=True)) as killed:
            if killed:
                mark_crashed(killed)
                found.append(killed.name)
    except HeldError as error:
        return Completed(message=f"{_said(found)} The workspace is {error}.")
    return Completed(message=f"{_said(found)} The workspace is free.")


def _said(found: list[str]) -> str:
    return f"Runs that had been killed: {', '.join(sorted(set(found)))}." if found else "No run had been killed."
