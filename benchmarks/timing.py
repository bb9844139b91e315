"""Wall time and memory."""

import os
import re
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROUNDS = 3


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call. Buffers of earlier calls are written to disk before it starts."""
    os.sync()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def alternate(*actions: Callable[[], object]) -> list[list[float]]:
    """Seconds of each round of each action, all actions alternating, after one warm-up each."""
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
    """Compare two implementations of one thing."""
    return compared(*alternate(slow, fast))


def peak_megabytes() -> float:
    """Peak memory of this process in MB. getrusage would include the peak of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [kibibytes] = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(kibibytes) * 1024 / 1e6
