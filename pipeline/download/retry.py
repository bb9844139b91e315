"""Trying again where a network or a server fails: with growing pauses, and with an end."""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.core.errors import NetworkError
from pipeline.core.thread_pool import CancelledError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for an origin, and how often to try.

    connect_seconds, read_timeout_seconds: for a connection, and between two bytes; a whole file may take days.
    tries: in a row. Failures are forgotten when `progress_bytes` more than ever before have come, so that a large file
        may outlive any number of cuts, and a server that sends a byte at a time may not go on forever.
    first_pause_seconds: doubles with each failure; a random share of up to a half is taken off, so that many clients
        do not come back at once.
    longest_pause_seconds: also where a server asks for more by Retry-After.
    """

    connect_seconds: float = 10
    read_timeout_seconds: float = 30
    tries: int = 6
    progress_bytes: int = 16 << 20
    first_pause_seconds: float = 1
    longest_pause_seconds: float = 120

    def pause_seconds(self, failures: int, retry_after_seconds: float) -> float:
        """The pause after so many failures in a row, at least what the server asked for, within the bound."""
        own_seconds = self.first_pause_seconds * 2 ** (failures - 1) * random.uniform(0.5, 1)
        return min(max(own_seconds, retry_after_seconds), self.longest_pause_seconds)


DEFAULT_RETRY = RetryPolicy()


class TransientError(Exception):
    """A failure that may have passed at the next try.

    `advice` ends the message when there is no next try; the server asked for a pause of at least `retry_after_seconds`.
    """

    def __init__(self, message: str, advice: str, retry_after_seconds: float = 0) -> None:
        super().__init__(message)
        self.advice = advice
        self.retry_after_seconds = retry_after_seconds


def retry(
    attempt: Callable[[], Result],
    patience: RetryPolicy,
    stop: threading.Event | None = None,
    furthest_bytes: Callable[[], int] = lambda: 0,
) -> Result:
    """What `attempt` returns, as soon as it raises no TransientError. `furthest_bytes` tells how far the best one came.

    Raises NetworkError after the last try, and CancelledError where `stop` is set in a pause.
    """
    stop = stop or threading.Event()
    failures, mark_bytes = 0, furthest_bytes()
    while True:
        try:
            return attempt()
        except TransientError as error:
            fault = error  # what is raised below has nothing to do with it
        if furthest_bytes() - mark_bytes >= patience.progress_bytes:
            failures, mark_bytes = 0, furthest_bytes()
        failures += 1
        if failures >= patience.tries:
            raise NetworkError(f"{fault} ({failures} tries). {fault.advice}")
        seconds = patience.pause_seconds(failures, fault.retry_after_seconds)
        logger.info("%s; try %d of %d in %.1f s", fault, failures + 1, patience.tries, seconds)
        if stop.wait(seconds):
            raise CancelledError
