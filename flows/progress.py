"""The output and the progress of stages, on the page of the Prefect run."""

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
"""More would be unreadable, and the server stores every line. The log file has all of them."""

ARTIFACT_DELAY_SECONDS = 10
"""Stages that end earlier get no progress artifact."""

ARTIFACT_INTERVAL_SECONDS = 2

SERVER_ERRORS = (httpx.HTTPError, PrefectException)
"""Raised by Prefect's client if the server is down or rejects a request."""


@contextlib.contextmanager
def best_effort(logger: Logger) -> Iterator[None]:
    """Log server errors as warnings: without its artifacts, a stage is still done."""
    try:
        yield
    except SERVER_ERRORS as error:
        logger.warning("the Prefect server did not accept an artifact: %s", error)


class RateLimitedLog:
    """Logs lines at a limited rate, and in the end how many lines were dropped and where they are."""

    def __init__(
        self,
        logger: Logger,
        log_file: Path,
        lines_per_second: float = LINES_PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._log_file = log_file
        self._lines_per_second = lines_per_second
        self._allowance = lines_per_second
        self._clock = clock
        self._last_line_at = clock()
        self._dropped = 0

    def log_line(self, line: str) -> None:
        """Log a line, unless it is blank or exceeds the rate."""
        if not line.strip():
            return
        now = self._clock()
        earned = (now - self._last_line_at) * self._lines_per_second
        self._allowance = min(self._allowance + earned, self._lines_per_second)
        self._last_line_at = now
        if self._allowance < 1:
            self._dropped += 1
            return
        self._allowance -= 1
        self._logger.info("%s", line)

    def close(self) -> None:
        """Log how many lines were dropped."""
        if self._dropped:
            self._logger.info("%d more lines are in %s", self._dropped, self._log_file)


class ProgressArtifact:
    """A context manager that copies a stage's progress file to a progress artifact while the stage runs.

    The file is written by `pipeline.core.progress`.
    """

    def __init__(self, stage: str, progress_file: Path, logger: Logger) -> None:
        self._stage = stage
        self._progress_file = progress_file
        self._logger = logger
        self._stop = threading.Event()
        self._artifact_id: UUID | None = None
        # Prefect finds the task run that an artifact belongs to in the context.
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._follow,), daemon=True)

    def __enter__(self) -> None:
        self._progress_file.unlink(missing_ok=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._artifact_id:
            with best_effort(self._logger):
                update_progress_artifact(self._artifact_id, 100.0)

    def _follow(self) -> None:
        if self._stop.wait(ARTIFACT_DELAY_SECONDS):
            return
        while not self._stop.wait(ARTIFACT_INTERVAL_SECONDS):
            with contextlib.suppress(*SERVER_ERRORS):  # the next update follows soon
                self._update()

    def _update(self) -> None:
        try:
            progress = json.loads(self._progress_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        percent = round(100 * progress["done"] / max(progress["total"], 1), 1)
        description = f"{self._stage}: {progress['what']}, {progress['done']:,} of {progress['total']:,}"
        if self._artifact_id is None:
            key = artifact_key("progress", self._stage)
            self._artifact_id = cast(UUID, create_progress_artifact(percent, key=key, description=description))
        else:
            update_progress_artifact(self._artifact_id, percent, description=description)


def artifact_key(*parts: str) -> str:
    """Join the parts to a valid key of an artifact: lower-case ASCII letters, digits and dashes.

    >>> artifact_key("metrics", "coco_yolo"), artifact_key("progress", "train@coco_yolo")
    ('metrics-coco-yolo', 'progress-train-coco-yolo')
    """
    return re.sub("[^a-z0-9]", "-", "-".join(parts).lower())
