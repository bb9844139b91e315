"""Runs functions that wait for servers in several threads."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

JOIN_TIMEOUT_SECONDS = 1


class CancelledError(Exception):
    """Raised by a function whose stop event was set."""


def map_threaded(
    function: Callable[[Item, threading.Event], Result], items: Sequence[Item], threads: int
) -> list[Result]:
    """Call a function for each item in several threads.

    Python waits for the threads of a ThreadPoolExecutor before it exits, so that Ctrl-C would take as long as an
    unresponsive server. Here a hanging thread is abandoned after JOIN_TIMEOUT_SECONDS.

    Args:
        function: receives an item, and an event after which it should soon raise CancelledError.
        items: arguments.
        threads: largest number of threads.

    Returns:
        The results in the order of the items.

    Raises:
        BaseException: the first item's exception, if any call raises; Ctrl-C included. All other calls are canceled.

    """
    futures: list[Future[Result]] = [Future() for _ in items]
    pending: queue.SimpleQueue[tuple[Item, Future[Result]]] = queue.SimpleQueue()
    stop = threading.Event()
    for pair in zip(items, futures, strict=True):
        pending.put(pair)

    def work() -> None:
        while not stop.is_set():
            try:
                item, future = pending.get_nowait()
            except queue.Empty:
                return
            try:
                future.set_result(function(item, stop))
            except BaseException as error:
                future.set_exception(error)
                stop.set()

    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(items)))]
    for worker in workers:
        worker.start()
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
        if all(future.done() and future.exception() is None for future in futures):
            return [future.result() for future in futures]
    finally:
        stop.set()
        for worker in workers:
            worker.join(JOIN_TIMEOUT_SECONDS / len(workers))
    errors = [future.exception() for future in futures if future.done()]
    raise next(error for error in errors if error is not None and not isinstance(error, CancelledError))
