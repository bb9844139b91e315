"""Runs a function of Python code in several processes, since threads would take turns."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

ITEMS_PER_PROCESS = 2
"""Items that are handed to each process at a time, so that it need not wait and few are in memory."""


def map_processes(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Call a function for each item in as many processes as there are cores.

    Args:
        function: a function of a module.
        items: arguments. They are taken while results are, so that there may be any number of them.

    Yields:
        The results in the order of the items.

    Raises:
        Exception: what the function raises.

    """
    num_processes = len(os.sched_getaffinity(0))
    pending: deque[Future[Result]] = deque()
    # A copy of this process would have the locks of its threads, which nobody unlocks.
    with ProcessPoolExecutor(num_processes, get_context("spawn"), _ignore_interrupts) as executor:
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) > num_processes * ITEMS_PER_PROCESS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _ignore_interrupts() -> None:
    """Ctrl-C reaches all processes; the first one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
