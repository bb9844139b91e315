import threading

import pytest

from pipeline.core import thread_pool as threads
from pipeline.core.thread_pool import CancelledError, map_threaded

LIMIT_SECONDS = 60  # ends a test that would hang


def test_results_have_order_of_items() -> None:
    second_is_done = threading.Event()

    def work(number: int, _: threading.Event) -> int:
        if number == 0:
            assert second_is_done.wait(LIMIT_SECONDS)
        else:
            second_is_done.set()
        return number * 10

    assert map_threaded(work, [0, 1], 2) == [0, 10]


def test_number_of_threads_is_limited() -> None:
    meeting, lock = threading.Barrier(2), threading.Lock()
    running = most = 0

    def work(_: int, __: threading.Event) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meeting.wait(LIMIT_SECONDS)
        with lock:
            running -= 1

    map_threaded(work, range(6), 2)
    assert most == 2


def test_error_stops_other_threads_and_is_raised() -> None:
    started = []

    def work(number: int, stop: threading.Event) -> None:
        started.append(number)
        if number == 1:
            raise ZeroDivisionError
        assert stop.wait(LIMIT_SECONDS)
        raise CancelledError

    with pytest.raises(ZeroDivisionError):
        map_threaded(work, range(10), 2)
    assert started == [0, 1]


def test_error_of_first_item_is_raised() -> None:
    """Regardless of time, so that the same fault has the same message in every run."""

    def work(number: int, stop: threading.Event) -> None:
        if number == 0:
            assert stop.wait(LIMIT_SECONDS)
        raise ValueError(number)

    with pytest.raises(ValueError, match=r"^0$"):
        map_threaded(work, [0, 1], 2)


def test_hanging_thread_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "JOIN_TIMEOUT_SECONDS", 0.01)
    release, hanging = threading.Event(), threading.Event()

    def work(number: int, _: threading.Event) -> None:
        if number == 0:
            hanging.set()
            release.wait()
        assert hanging.wait(LIMIT_SECONDS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        map_threaded(work, [0, 1], 2)
    release.set()


def test_no_items() -> None:
    assert map_threaded(lambda item, _: item, [], 4) == []
