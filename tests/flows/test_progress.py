"""The rate limit of a run's log, with a manual clock, and the keys of artifacts."""

import logging
from pathlib import Path

import pytest

from flows.progress import RateLimitedLog, artifact_key

LOG = Path("logs/train@coco_yolo.log")


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> RateLimitedLog:
    caplog.set_level(logging.INFO)
    return RateLimitedLog(logging.getLogger("test"), LOG, lines_per_second=4, clock=clock)


def test_lines_below_the_rate_are_all_logged(
    log: RateLimitedLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"epoch {number}: 100 %s" for number in range(20)]
    for line in lines:
        log.log_line(line)
        clock.seconds += 0.25
    log.close()
    assert caplog.messages == lines


def test_lines_above_the_rate_are_dropped_and_counted(
    log: RateLimitedLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(10):
        log.log_line(str(number))
    clock.seconds += 0.5  # room for two more
    for number in range(10, 15):
        log.log_line(str(number))
    clock.seconds += 3600  # a long pause allows no larger burst
    for number in range(15, 25):
        log.log_line(str(number))
    log.close()
    assert caplog.messages == [*"0123", "10", "11", "15", "16", "17", "18", f"15 more lines are in {LOG}"]


def test_blank_lines_are_neither_logged_nor_counted(log: RateLimitedLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        log.log_line("  ")
    log.log_line("one")
    log.close()
    assert caplog.messages == ["one"]


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        (["metrics", "coco_yolo"], "metrics-coco-yolo"),
        (["progress", "train@Coco.2017"], "progress-train-coco-2017"),
        (["report", "a b"], "report-a-b"),
        (["report", "fläche"], "report-fl-che"),
    ],
)
def test_artifact_keys_have_lower_case_letters_digits_and_dashes(parts: list[str], key: str) -> None:
    assert artifact_key(*parts) == key
