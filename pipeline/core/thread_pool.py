"""Several things at once that wait for others, such as servers."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

JOIN_TIMEOUT_SECONDS = 1


class CancelledError(Exception):
    """Another thread asked this one to end."""


def map_threaded(
    function: Callable[[Item, threading.Event], Result], items: Sequence[Item], threads: int
) -> list[Result]:
    """`function` of each item and of an event that asks it to end soon, by CancelledError. Results in the items' order.

    An exception, Ctrl-C included, ends all of them and is raised; of several exceptions that of the first item.
    Not a ThreadPoolExecutor: Python waits for its threads before it exits, so that Ctrl-C would take as long as a
    server keeps silent. A thread that hangs so is left behind here.
    """
    futures: list[Future[Result]] = [Future() for _ in items]
    todo: queue.SimpleQueue[tuple[Item, Future[Result]]] = queue.SimpleQueue()
    stop = threading.Event()
    for pair in zip(items, futures, strict=True):
        todo.put(pair)

    def work() -> None:
        while not stop.is_set():
            try:
                item, future = todo.get_nowait()
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
