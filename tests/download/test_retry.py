import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.core.thread_pool import CancelledError
from pipeline.download.retry import RetryPolicy, TransientError, retry
from pipeline.download.sources.base import http_error


def test_backoff_doubles_with_jitter_up_to_its_limit() -> None:
    retry_policy = RetryPolicy(initial_backoff_seconds=1, max_backoff_seconds=10)
    pauses = [[retry_policy.backoff_seconds(failures, 0) for _ in range(200)] for failures in (1, 2, 3, 4, 5)]
    for lowest, highest, sampled in zip((0.5, 1, 2, 4, 8), (1, 2, 4, 8, 10), pauses, strict=True):
        assert lowest <= min(sampled) < max(sampled) <= highest
    assert min(max(sampled) / min(sampled) for sampled in pauses[:4]) > 1.5


@pytest.mark.parametrize(("retry_after_seconds", "seconds"), [(5, 5), (7200, 10)])
def test_retry_after_lengthens_the_pause_up_to_its_limit(retry_after_seconds: float, seconds: float) -> None:
    assert RetryPolicy(max_backoff_seconds=10).backoff_seconds(1, retry_after_seconds) == seconds


def test_stop_cancels_a_pause() -> None:
    stop = threading.Event()

    def attempt() -> None:
        stop.set()
        raise TransientError("It failed", "Do something.")

    with pytest.raises(CancelledError):
        retry(attempt, RetryPolicy(initial_backoff_seconds=1000), stop)


def test_boxline_error_is_not_retried() -> None:
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
def test_retry_after_header_is_parsed_or_ignored(header: str | None, seconds: float) -> None:
    error = http_error("a.zip", 503, "", "", header)
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ [A-Z+\-0-9]*"))
def test_no_retry_after_header_crashes(header: str) -> None:
    error = http_error("a.zip", 429, "", "", header)
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds >= 0
