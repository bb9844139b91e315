"""Progress of long work: a bar on a terminal, and a file for other processes.

Bars are silent in logs and CI.
"""

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

PROGRESS_VARIABLE = "BOXLINE_PROGRESS"
"""The environment variable that names the file; flows set it for each stage."""

WRITE_INTERVAL_SECONDS = 1
"""Least time between two writes of the file."""


class ProgressBar(tqdm):
    """A bar of tqdm that also writes the file."""

    def __init__(self, description: str, total: int, unit: str, **options: Any) -> None:
        # tqdm takes `disable=None` for: silent unless stderr is a terminal.
        super().__init__(
            desc=description, total=total, unit=unit, disable=None, dynamic_ncols=True, leave=False, **options
        )
        self._description = f"{description} ({unit})"
        self._done = options.get("initial", 0)
        self._written_at = 0.0

    def update(self, n: float | None = 1) -> bool | None:
        """Advance by `n` units, and write the file if WRITE_INTERVAL_SECONDS have passed since the last time."""
        self._done += n
        if time.monotonic() - self._written_at >= WRITE_INTERVAL_SECONDS:
            write_progress(self._description, self._done, self.total)
            self._written_at = time.monotonic()
        return super().update(n)


def byte_bar(description: str, total_bytes: int, done_bytes: int = 0) -> ProgressBar:
    """A bar for a file of which `done_bytes` already exist. A total of 0 means that the size is unknown."""
    return ProgressBar(description, total_bytes, "B", initial=done_bytes, unit_scale=True, unit_divisor=1024)


def write_progress(description: str, done: float, total: float) -> None:
    """Write the progress file atomically, if PROGRESS_VARIABLE names one. Safe to call from any thread.

    Errors are ignored: the work itself matters more than its progress.
    """
    name = os.environ.get(PROGRESS_VARIABLE)
    if not name:
        return
    partial = Path(f"{name}.{os.getpid()}.{threading.get_ident()}.partial")
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps({"what": description, "done": done, "total": total}), encoding="utf-8")
        partial.replace(name)
