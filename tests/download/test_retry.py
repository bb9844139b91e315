import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.download.retry import CancelledError, RetryPolicy, TransientError, retry
from pipeline.download.sources.base import http_error


def test_pauses_double_and_vary_within_their_bound() -> None:
    patience = RetryPolicy(first_pause_seconds=1, longest_pause_seconds=10)
    pauses = [[patience.pause_seconds(failures, 0) for _ in range(200)] for failures in (1, 2, 3, 4, 5)]
    for least, most, drawn in zip((0.5, 1, 2, 4, 8), (1, 2, 4, 8, 10), pauses, strict=True):
        assert least <= min(drawn) < max(drawn) <= most
    assert min(max(drawn) / min(drawn) for drawn in pauses[:4]) > 1.5


@pytest.mark.parametrize(("retry_after_seconds", "seconds"), [(5, 5), (7200, 10)])
def test_a_server_may_ask_for_a_longer_pause_within_the_bound(retry_after_seconds: float, seconds: float) -> None:
    assert RetryPolicy(longest_pause_seconds=10).pause_seconds(1, retry_after_seconds) == seconds


def test_a_pause_ends_when_others_stop() -> None:
    stop = threading.Event()

    def attempt() -> None:
        stop.set()
        raise TransientError("It failed", "Do something.")

    with pytest.raises(CancelledError):
        retry(attempt, RetryPolicy(first_pause_seconds=1000), stop)


def test_what_is_final_is_not_tried_again() -> None:
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise BoxlineError("No.")

    with pytest.raises(BoxlineError, match=r"^No\.$"):
        retry(attempt, RetryPolicy())
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("-7", 0),
        ("", 0),
        (None, 0),
        ("soon", 0),
        ("9" * 5000, 0),
        ("Thu, 01 Jan 1970 00:00:00", 0),
    ],
)
def test_retry_after_in_seconds_and_otherwise(header: str | None, seconds: float) -> None:
    error = http_error("a.zip", 503, "", "", header)
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ [A-Z+\-0-9]*"))
def test_no_retry_after_is_a_traceback(header: str) -> None:
    error = http_error("a.zip", 429, "", "", header)
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds >= 0
