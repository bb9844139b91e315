"""How far a long work is: bars with rate and time left on a terminal, and a file for whoever watches from elsewhere.

Logs and CI stay quiet. BOXLINE_PROGRESS names the file; whoever starts a stage may set it.
"""

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

TELLING_SECONDS = 1
"""Between two writes of the file."""


class Bar(tqdm):
    """Tqdm's, which also tells the file."""

    def __init__(self, description: str, total: int, unit: str, **options: Any) -> None:
        # `disable=None` is tqdm's way to say: silent unless stderr is a terminal.
        super().__init__(
            desc=description, total=total, unit=unit, disable=None, dynamic_ncols=True, leave=False, **options
        )
        self._what = f"{description} ({unit})"
        self._done = options.get("initial", 0)
        self._told = 0.0

    def update(self, n: float | None = 1) -> bool | None:
        """Go on by `n`."""
        self._done += n
        if time.monotonic() - self._told >= TELLING_SECONDS:
            write_progress(self._what, self._done, self.total)
            self._told = time.monotonic()
        return super().update(n)


def bar(description: str, total: int, unit: str) -> Bar:
    """A bar to update by hand."""
    return Bar(description, total, unit)


def byte_bar(description: str, total_bytes: int, done_bytes: int = 0) -> Bar:
    """A bar for a file of which `done_bytes` are already there. A total of 0 stands for one that nobody knows."""
    return Bar(description, total_bytes, "B", initial=done_bytes, unit_scale=True, unit_divisor=1024)


def write_progress(what: str, done: float, total: float) -> None:
    """Write what is done, how far and of how much into the file, whole or not at all, if anybody watches.

    Any thread may tell. A file that cannot be written stops nothing: the work itself is worth more.
    """
    name = os.environ.get("BOXLINE_PROGRESS")
    if not name:
        return
    partial = Path(f"{name}.{os.getpid()}.{threading.get_ident()}.partial")
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps({"what": what, "done": done, "total": total}), encoding="utf-8")
        partial.replace(name)
