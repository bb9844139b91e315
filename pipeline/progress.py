"""Progress bars with rate and time left, on a terminal only: logs and CI stay quiet."""

from typing import Any

from tqdm import tqdm


def bar(description: str, total: int, unit: str, **options: Any) -> "tqdm[Any]":
    """A bar to update by hand. `disable=None` is tqdm's way to say: silent unless stderr is a terminal."""
    return tqdm(desc=description, total=total, unit=unit, disable=None, dynamic_ncols=True, leave=False, **options)


def byte_bar(description: str, total_bytes: int, done_bytes: int = 0) -> "tqdm[Any]":
    """A bar for a file of which `done_bytes` are already there. A total of 0 stands for one that nobody knows."""
    return bar(description, total_bytes, "B", initial=done_bytes, unit_scale=True, unit_divisor=1024)
