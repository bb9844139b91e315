"""Wall time."""

import statistics
import time
from collections.abc import Callable, Sequence

ROUNDS = 3


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_turn(*actions: Callable[[], object]) -> list[list[float]]:
    """Seconds of each round of each action, all in turn after one warm-up each."""
    for action in actions:
        action()
    rounds = [[seconds(action) for action in actions] for _ in range(ROUNDS)]
    return [list(times) for times in zip(*rounds, strict=True)]


def compared(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """Median seconds of both, and the median of their ratios round by round."""
    return {
        "slow_seconds": statistics.median(slow),
        "fast_seconds": statistics.median(fast),
        "ratio": statistics.median(a / b for a, b in zip(slow, fast, strict=True)),
    }


def ratio(slow: Callable[[], object], fast: Callable[[], object]) -> dict[str, float]:
    """Two ways of doing one thing."""
    return compared(*in_turn(slow, fast))
