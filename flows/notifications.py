"""Notifications about failed runs, through a Prefect block of the team's choice."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

from prefect import Flow, State
from prefect.blocks.core import Block
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_logger
from prefect.variables import Variable

NOTIFY_VARIABLE = "boxline_notify"
"""The Prefect variable that names a block, such as slack-webhook/team or webhook/alerts. Unset, nothing is sent."""


def notify(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Send a notification about a failed or crashed run (a state hook of Prefect)."""
    send_notification(flow.name, flow_run, state)


def send_notification(flow_name: str, flow_run: FlowRun, state: State[Any]) -> None:
    """Send the state of a run through the block that NOTIFY_VARIABLE names; log errors instead of raising them."""
    block_name = Variable.get(NOTIFY_VARIABLE)
    if not block_name:
        return
    subject = f"Boxline: {flow_name} {flow_run.name} {str(state.name).lower()}"
    body = f"{state.message}\nparameters: {flow_run.parameters}\nrun: {flow_run.id}"
    try:
        block: Any = Block.load(str(block_name))
        if hasattr(block, "notify"):
            response = block.notify(body, subject)
        else:  # a plain webhook
            response = block.call({"subject": subject, "text": body})
        if inspect.isawaitable(response):
            asyncio.run(_await(response))
    except Exception as error:  # each kind of block raises its own errors
        get_logger("flows.notifications").error("notification through %s failed: %s", block_name, error)


async def _await(response: Awaitable[object]) -> None:
    await response
