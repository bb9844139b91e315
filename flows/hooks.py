"""Who is told of a run that failed: a Prefect block of the team's own choice."""

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
"""The Prefect variable that names a block, such as slack-webhook/team or webhook/alerts. Without it nobody is told."""


def notify(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of a flow that has failed or crashed."""
    tell(flow.name, flow_run, state)


def tell(flow_name: str, flow_run: FlowRun, state: State[Any]) -> None:
    """Tell the block of the variable `boxline_notify`. A message that cannot be sent is logged and changes nothing."""
    name = Variable.get(NOTIFY_VARIABLE)
    if not name:
        return
    subject = f"Boxline: {flow_name} {flow_run.name} {str(state.name).lower()}"
    body = f"{state.message}\nparameters: {flow_run.parameters}\nrun: {flow_run.id}"
    try:
        block: Any = Block.load(str(name))
        if hasattr(block, "notify"):
            sent = block.notify(body, subject)
        else:  # a plain webhook
            sent = block.call({"subject": subject, "text": body})
        if inspect.isawaitable(sent):
            asyncio.run(_finish(sent))
    except Exception as error:  # every kind of block has its own
        get_logger("flows.hooks").error("nobody was told by %s: %s", name, error)


async def _finish(sent: Awaitable[object]) -> None:
    await sent
