import os
from collections.abc import Iterator

import pytest

from pipeline.core.process_pool import ITEMS_PER_PROCESS, map_processes


def test_results_are_in_the_order_of_the_items_which_are_taken_when_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(-50, 0):
            taken.append(number)
            yield number

    results = map_processes(abs, items())
    assert next(results) == 50
    assert len(taken) <= len(os.sched_getaffinity(0)) * ITEMS_PER_PROCESS + 1
    assert list(results) == list(range(49, 0, -1))


def test_what_the_function_raises_is_raised_here() -> None:
    results = map_processes(int, ["1", "one", "2"])
    assert next(results) == 1
    with pytest.raises(ValueError, match="invalid literal"):
        next(results)


def test_no_items_have_no_results() -> None:
    assert list(map_processes(abs, [])) == []
