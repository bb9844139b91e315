"""Base classes of all checks, and the result of a check.

A check is an entry of `checks` in params.yaml. Its class declares its thresholds and finds what violates it.
"""

import itertools
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core.config import Config
from pipeline.core.formatting import escape_control
from pipeline.datasets.annotations import take_or_null
from pipeline.validation.joins import ROW_NUMBER, other_equal_row
from pipeline.validation.statistics import DatasetStatistics

MAX_EXAMPLES = 5
"""Examples per check in reports; quarantine.parquet has every rejected row."""

Severity = Literal["error", "warning", "off"]

Status = Literal["passed", "quarantined", "warned", "failed", "off", "not run"]


class Check(Config):
    """A check with its thresholds, which are the keys besides `severity`.

    Attributes:
        severity: "error" sends rows to quarantine, and lets a finding about the whole dataset fail the stage;
            "warning" counts and reports; "off" skips the check.

    """

    severity: Severity

    @classmethod
    def meaning(cls) -> str:
        """What violates the check: the first paragraph of its docstring."""
        return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())

    def thresholds(self) -> dict[str, float]:
        """All keys but the severity."""
        return {name: value for name, value in self if name != "severity"}


@dataclass(frozen=True)
class Violations:
    """The rows that violate a check.

    Attributes:
        rows: row indices in the checked table, ascending, int64 [N].
        values: the offending values, N rows, one column per value that the check compares.
        note: which rows the check could not examine, if any.

    """

    rows: NDArray[np.int64]
    values: pa.Table
    note: str = ""


class RowCheck(Check):
    """A check of every row of a table."""

    @abstractmethod
    def find_violations(self, table: pa.Table) -> Violations:
        """Find the rows of `table` that violate the check."""


class ImageCheck(RowCheck):
    """A check of images; its table is that of `joins.images_with_files`."""


class BoxCheck(RowCheck):
    """A check of boxes; its table is that of `joins.boxes_with_images`."""


def violations_where(table: pa.Table, condition: pa.Array, *columns: str) -> Violations:
    """Violations of the rows for which `condition`, bool [rows], is true.

    Null, the result of a comparison with a missing value, counts as false. `columns` are the offending values.
    """
    rows = np.flatnonzero(pc.fill_null(condition, False).to_numpy(zero_copy_only=False))
    return Violations(rows, table.select(list(columns)).take(pa.array(rows)))


def duplicates_of_id(table: pa.Table, id_column: str) -> Violations:
    """The rows whose id another row of their split has. The offending values name that row: its number and its file."""
    others = other_equal_row(table, ["split", id_column])
    table = table.append_column("same_id_in_row", take_or_null(table[ROW_NUMBER], others))
    table = table.append_column("same_id_in_file", take_or_null(table["file_name"], others))
    return violations_where(table, pa.array(others >= 0), id_column, "same_id_in_row", "same_id_in_file")


@dataclass(frozen=True)
class Findings:
    """What a check of a whole dataset measured.

    Attributes:
        measured: the measured quantities as text.
        violations: a sentence for each violation; empty if the dataset passes.

    """

    measured: str
    violations: list[str]


class DatasetCheck(Check):
    """A check of all accepted rows as a whole."""

    @abstractmethod
    def measure(self, statistics: DatasetStatistics) -> Findings:
        """Compare the dataset with the thresholds."""


class ArchiveCheck(Check):
    """A check of the archives that the images are in."""

    @abstractmethod
    def measure(self, archives: pa.Table) -> tuple[int, Findings]:
        """Count the violations in a table schema.ARCHIVES; the findings have a sentence per archive with any."""


class DriftCheck(Check):
    """A check of a dataset against an earlier version. No stage runs it, because a stage depends on its inputs only."""

    @abstractmethod
    def measure(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        """Compare the distance between the versions with the thresholds."""


@dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    Attributes:
        name: key of the check in params.yaml.
        meaning: what violates the check, in a sentence or two.
        severity: of the check.
        thresholds: of the check, by name.
        status: "quarantined" if rows were rejected, "failed" if the whole dataset fails because of the check.
        count: number of rows, or of findings about the whole dataset.
        measured: what was measured, or why something was not, as text; may be empty.
        examples: the first MAX_EXAMPLES violations, each with its position and the offending values.
        violations: all violating rows of a row check with positions and values; None for other checks.

    """

    name: str
    meaning: str
    severity: Severity
    thresholds: dict[str, float]
    status: Status
    count: int = 0
    measured: str = ""
    examples: tuple[str, ...] = ()
    violations: pa.Table | None = None

    @classmethod
    def of(
        cls,
        name: str,
        check: Check,
        status: Status,
        count: int = 0,
        measured: str = "",
        examples: Iterable[str] = (),
        violations: pa.Table | None = None,
    ) -> "CheckResult":
        """The result of `check`, with the first of its `examples` and without control characters."""
        return cls(
            name=name,
            meaning=check.meaning(),
            severity=check.severity,
            thresholds=check.thresholds(),
            status=status,
            count=count,
            measured=escape_control(measured),
            examples=tuple(escape_control(text) for text in itertools.islice(examples, MAX_EXAMPLES)),
            violations=violations,
        )

    def as_json(self) -> dict[str, Any]:
        """All but the name, the meaning and the rows."""
        return {
            "severity": self.severity,
            "status": self.status,
            "count": self.count,
            "thresholds": self.thresholds,
            "measured": self.measured,
            "examples": list(self.examples),
        }
