import threading

import pytest

from pipeline.storage import threads
from pipeline.storage.threads import at_once


def test_answers_come_in_the_order_of_the_items() -> None:
    second_is_done = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(60)
        else:
            second_is_done.set()
        return number * 10

    assert at_once(work, [0, 1], 2, threading.Event()) == [0, 10]


def test_no_more_than_so_many_run_at_once() -> None:
    meeting, lock = threading.Barrier(2), threading.Lock()
    running = most = 0

    def work(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meeting.wait(60)
        with lock:
            running -= 1

    at_once(work, range(6), 2, threading.Event())
    assert most == 2


def test_the_first_error_stops_the_others_and_is_raised() -> None:
    stop, started = threading.Event(), []

    def work(number: int) -> None:
        started.append(number)
        if number == 0:
            raise ZeroDivisionError
        assert stop.wait(60)

    with pytest.raises(ZeroDivisionError):
        at_once(work, range(10), 2, stop)
    assert len(started) <= 3


def test_a_thread_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "FAREWELL_SECONDS", 0.01)
    release, hanging = threading.Event(), threading.Event()

    def work(number: int) -> None:
        if number == 0:
            hanging.set()
            release.wait()
        assert hanging.wait(60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        at_once(work, [0, 1], 2, threading.Event())
    release.set()


def test_nothing_to_do() -> None:
    assert at_once(str, [], 4, threading.Event()) == []
