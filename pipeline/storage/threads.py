"""Several things at once that wait for others, such as servers."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

FAREWELL_SECONDS = 1


def at_once(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int, stop: threading.Event
) -> list[Result]:
    """`function` of each item, in their order. The first exception, Ctrl-C included, sets `stop` and is raised.

    The function is to end soon after `stop` is set. Not a ThreadPoolExecutor: Python waits for its threads before it
    exits, so that Ctrl-C would last as long as a server keeps silent. A thread that hangs so is left behind here.
    """
    futures: list[Future[Result]] = [Future() for _ in items]
    todo: queue.SimpleQueue[tuple[Item, Future[Result]]] = queue.SimpleQueue()
    for pair in zip(items, futures, strict=True):
        todo.put(pair)

    def work() -> None:
        while not stop.is_set():
            try:
                item, future = todo.get_nowait()
            except queue.Empty:
                return
            try:
                future.set_result(function(item))
            except BaseException as error:
                future.set_exception(error)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(items)))]
    for worker in workers:
        worker.start()
    try:
        for future in as_completed(futures):
            future.result()
    except BaseException:
        stop.set()
        for worker in workers:
            worker.join(FAREWELL_SECONDS / len(workers))
        raise
    return [future.result() for future in futures]
