"""What a stage says and how far it is, as the run's page shows it."""

import contextlib
import contextvars
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

Logger = logging.Logger | logging.LoggerAdapter[logging.Logger]

LINES_PER_SECOND = 20
"""More would hide what matters, and the server keeps every line. The log file has all of them."""

PROGRESS_VARIABLE = "BOXLINE_PROGRESS"
"""Names the file in which a stage says how far it is: pipeline/core/progress.py."""

LONG_SECONDS = 10
"""From when on a stage has a progress artifact."""


SERVER_ERRORS = (httpx.HTTPError, PrefectException)
"""What Prefect raises where the server is away or does not take what is sent."""


@contextlib.contextmanager
def shown_or_not(logger: Logger) -> Iterator[None]:
    """A block that shows something: what was done stays done where the server is away, and a warning is all."""
    try:
        yield
    except SERVER_ERRORS as error:
        logger.warning("not shown on the run's page, since the server did not take it: %s", error)


class Lines:
    """Tells lines to a log, at most some per second; says in the end how many it left out, and where they are."""

    def __init__(
        self,
        logger: Logger,
        log: Path,
        per_second: float = LINES_PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._log = log
        self._per_second = per_second
        self._allowance = per_second
        self._clock = clock
        self._last = clock()
        self._left_out = 0

    def tell(self, line: str) -> None:
        """One line, or silence."""
        if not line.strip():
            return
        now = self._clock()
        self._allowance = min(self._allowance + (now - self._last) * self._per_second, self._per_second)
        self._last = now
        if self._allowance < 1:
            self._left_out += 1
            return
        self._allowance -= 1
        self._logger.info("%s", line)

    def close(self) -> None:
        """Say what was left out."""
        if self._left_out:
            self._logger.info("%d more lines are in %s", self._left_out, self._log)


class Progress:
    """A progress artifact that follows the file in which a stage says how far it is, while the block runs."""

    def __init__(self, stage: str, file: Path, logger: Logger) -> None:
        self._stage = stage
        self._file = file
        self._logger = logger
        self._end = threading.Event()
        self._artifact: UUID | None = None
        # In this thread's context, by which Prefect knows whose artifact it is.
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._follow,), daemon=True)

    def __enter__(self) -> None:
        self._file.unlink(missing_ok=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._artifact:
            with shown_or_not(self._logger):
                update_progress_artifact(self._artifact, 100.0)

    def _follow(self) -> None:
        if self._end.wait(LONG_SECONDS):
            return
        while not self._end.wait(2):
            with contextlib.suppress(*SERVER_ERRORS):  # it is shown again in a moment
                self._show()

    def _show(self) -> None:
        try:
            told = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        percent = round(100 * told["done"] / max(told["total"], 1), 1)
        description = f"{self._stage}: {told['what']}, {told['done']:,} of {told['total']:,}"
        if self._artifact is None:
            key = key_of("progress", self._stage)
            self._artifact = cast(UUID, create_progress_artifact(percent, key=key, description=description))
        else:
            update_progress_artifact(self._artifact, percent, description=description)


def key_of(*words: str) -> str:
    """The key of an artifact: lower-case letters of ASCII, digits and dashes.

    >>> key_of("metrics", "coco_yolo"), key_of("progress", "train@coco_yolo")
    ('metrics-coco-yolo', 'progress-train-coco-yolo')
    """
    return re.sub("[^a-z0-9]", "-", "-".join(words).lower())
