"""Retries with exponential backoff for failures of networks and servers."""

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
    """How long to wait for a source, and how often to retry.

    Attributes:
        connect_timeout_seconds: the time limit for establishing a connection.
        read_timeout_seconds: the longest silence between two bytes. The whole transfer has no limit: a large file may
            take days.
        max_attempts: the number of consecutive failures after which `retry` gives up.
        progress_bytes: new bytes that reset the count of failures. So a large file survives any number of
            interruptions, but a server that sends one byte at a time does not keep a download alive forever.
        initial_backoff_seconds: the first pause. It doubles with each failure and is shortened by a random fraction of
            up to one half (jitter), so that many clients do not retry at the same moment.
        max_backoff_seconds: the longest pause, also if the server requests more with Retry-After.

    """

    connect_timeout_seconds: float = 10
    read_timeout_seconds: float = 30
    max_attempts: int = 6
    progress_bytes: int = 16 << 20
    initial_backoff_seconds: float = 1
    max_backoff_seconds: float = 120

    def backoff_seconds(self, failures: int, retry_after_seconds: float) -> float:
        """Return the pause after `failures` consecutive failures: at least `retry_after_seconds`, within the limit."""
        backoff_seconds = self.initial_backoff_seconds * 2 ** (failures - 1) * random.uniform(0.5, 1)
        return min(max(backoff_seconds, retry_after_seconds), self.max_backoff_seconds)


DEFAULT_RETRY = RetryPolicy()


class TransientError(Exception):
    """A failure that may be gone at the next attempt.

    Attributes:
        advice: the sentence that ends the error message after the last attempt.
        retry_after_seconds: the shortest pause that the server requested, or 0.

    """

    def __init__(self, message: str, advice: str, retry_after_seconds: float = 0) -> None:
        super().__init__(message)
        self.advice = advice
        self.retry_after_seconds = retry_after_seconds


def retry(
    attempt: Callable[[], Result],
    retry_policy: RetryPolicy,
    stop: threading.Event | None = None,
    peak_bytes: Callable[[], int] = lambda: 0,
) -> Result:
    """Call `attempt` until it raises no TransientError.

    Args:
        attempt: the function to call.
        retry_policy: how often to call it, and how long to pause in between.
        stop: an event that cancels a pause.
        peak_bytes: returns the largest number of bytes received in any attempt so far, to measure progress.

    Returns:
        What `attempt` returns.

    Raises:
        NetworkError: after the last attempt.
        CancelledError: if `stop` is set during a pause.

    """
    stop = stop or threading.Event()
    failures, last_peak_bytes = 0, peak_bytes()
    while True:
        try:
            return attempt()
        except TransientError as error:
            failure = error  # kept outside of the block: the errors raised below must not have it as their context
        if peak_bytes() - last_peak_bytes >= retry_policy.progress_bytes:
            failures, last_peak_bytes = 0, peak_bytes()
        failures += 1
        if failures >= retry_policy.max_attempts:
            raise NetworkError(f"{failure} ({failures} attempts). {failure.advice}")
        seconds = retry_policy.backoff_seconds(failures, failure.retry_after_seconds)
        logger.info("%s; attempt %d of %d in %.1f s", failure, failures + 1, retry_policy.max_attempts, seconds)
        if stop.wait(seconds):
            raise CancelledError
