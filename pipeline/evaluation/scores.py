"""The two kinds of task and the verbs that both answer: `score`, `constant_baseline`, and which score leads the table."""

import importlib
from typing import Protocol, cast

import pyarrow as pa

from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables

TASKS = ("detection", "localization")


class Task(Protocol):
    """pipeline/evaluation/detection.py and localization.py"""

    PRIMARY_METRIC: str

    def score(self, truth: Tables, detections: pa.Table) -> dict[str, float]:
        """Scores by name, each 0..1."""

    def constant_baseline(self, train: Tables, truth: Tables) -> pa.Table:
        """Detections that look at no pixel: the baseline of the scores."""


def task(name: str) -> Task:
    """The module of that task."""
    if name not in TASKS:
        raise BoxlineError(f"params.yaml: task: received {name!r}, expected one of {', '.join(TASKS)}.")
    return cast(Task, importlib.import_module(f"pipeline.evaluation.{name}"))
