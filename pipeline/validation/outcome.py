"""What a check found, as all reports tell it."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from pipeline.core.formatting import escape_control
from pipeline.validation.base import Check, Severity

EXAMPLES = 5
"""Of each check, in reports; quarantine.parquet has every refused row."""

Status = Literal["passed", "quarantined", "warned", "failed", "off", "not run"]


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    meaning: what breaks it, in a sentence or two.
    status: "quarantined" for rows that were refused, "failed" for a finding about the whole dataset that fails it.
    count: rows, or findings about the whole dataset.
    measured: in words, what was measured, or why something was not; may be empty.
    examples: the first EXAMPLES of what was found, each with its place and the values that break the check.
    found: all rows that break a check of rows, each with its place and those values; None for other checks.
    """

    name: str
    meaning: str
    severity: Severity
    thresholds: dict[str, float]
    status: Status
    count: int = 0
    measured: str = ""
    examples: tuple[str, ...] = ()
    found: pa.Table | None = None

    @classmethod
    def of(
        cls,
        name: str,
        check: Check,
        status: Status,
        count: int = 0,
        measured: str = "",
        examples: Iterable[str] = (),
        found: pa.Table | None = None,
    ) -> "Outcome":
        """The outcome of that check, of whose `examples` the first are kept."""
        texts = tuple(escape_control(text) for text in itertools.islice(examples, EXAMPLES))
        words = escape_control(measured)
        return cls(name, check.meaning(), check.severity, check.thresholds(), status, count, words, texts, found)

    def as_json(self) -> dict[str, Any]:
        """What differs between datasets and runs, without the rows; the name is the key."""
        return {
            "severity": self.severity,
            "status": self.status,
            "count": self.count,
            "thresholds": self.thresholds,
            "measured": self.measured,
            "examples": list(self.examples),
        }
