"""What reaches the log of a run, by a clock of the test's own."""

import logging
from pathlib import Path

import pytest

from flows.progress import Lines, key_of

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
def lines(clock: Clock, caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.INFO)
    return Lines(logging.getLogger("test"), LOG, per_second=4, clock=clock)


def test_few_lines_are_all_told(lines: Lines, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    told = [f"epoch {number}: 100 %s" for number in range(20)]
    for line in told:
        lines.tell(line)
        clock.seconds += 0.25
    lines.close()
    assert caplog.messages == told


def test_of_many_at_once_some_are_told_and_the_rest_is_counted(
    lines: Lines, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(10):
        lines.tell(str(number))
    clock.seconds += 0.5  # room for two more
    for number in range(10, 15):
        lines.tell(str(number))
    clock.seconds += 3600  # however long the silence was
    for number in range(15, 25):
        lines.tell(str(number))
    lines.close()
    assert caplog.messages == [*"0123", "10", "11", "15", "16", "17", "18", f"15 more lines are in {LOG}"]


def test_blank_lines_are_neither_told_nor_counted(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        lines.tell("  ")
    lines.tell("one")
    lines.close()
    assert caplog.messages == ["one"]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["metrics", "coco_yolo"], "metrics-coco-yolo"),
        (["progress", "train@Coco.2017"], "progress-train-coco-2017"),
        (["report", "a b"], "report-a-b"),
        (["report", "fläche"], "report-fl-che"),
    ],
)
def test_keys_are_lower_case_letters_digits_and_dashes(words: list[str], key: str) -> None:
    assert key_of(*words) == key
