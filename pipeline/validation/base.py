"""What a check is: an entry of `checks` in params.yaml that finds what breaks it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core.config import Config
from pipeline.validation.statistics import DatasetStatistics

Severity = Literal["error", "warning", "off"]


class Check(Config):
    """A check under its name in params.yaml: its severity, and its thresholds as further keys.

    severity: "error" sends a row to quarantine, and lets a finding about the whole dataset fail the stage; "warning"
        counts and shows; "off" does not look.
    """

    severity: Severity

    @classmethod
    def meaning(cls) -> str:
        """What breaks the check: the first paragraph of its docstring."""
        return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())

    def thresholds(self) -> dict[str, float]:
        """Everything but the severity, by name."""
        return {name: value for name, value in self if name != "severity"}


@dataclass(frozen=True)
class Faults:
    """Rows that break a check.

    rows: their indices in the table that was checked, ascending, int64 [N].
    values: what is wrong with them, N rows with one column per value that was looked at.
    note: what the check could not look at, if anything.
    """

    rows: NDArray[np.int64]
    values: pa.Table
    note: str = ""


class RowCheck(Check):
    """A check of every row of a table."""

    def faults(self, table: pa.Table) -> Faults:
        """The rows of `table` that break the check."""
        raise NotImplementedError


class ImageCheck(RowCheck):
    """A check of images, as `rows.images_with_files` widens them."""


class BoxCheck(RowCheck):
    """A check of boxes, as `rows.boxes_with_images` widens them."""


@dataclass(frozen=True)
class Findings:
    """What a check of a whole dataset measured, in words, and what of it breaks the check: empty where nothing does."""

    measured: str
    broken: list[str]


class DatasetCheck(Check):
    """A check of what is left after the checks of rows, as a whole."""

    def findings(self, overview: DatasetStatistics) -> Findings:
        """What breaks the check."""
        raise NotImplementedError


class DriftCheck(Check):
    """A check of a dataset against an earlier version of it. No stage runs it: a stage knows its inputs alone."""

    def findings(self, before: DatasetStatistics, now: DatasetStatistics) -> Findings:
        """What moved further than it may."""
        raise NotImplementedError


def marked(table: pa.Table, broken: pa.Array, *columns: str) -> Faults:
    """Faults where `broken`, bool [rows], is true; a null, which is what a comparison with nothing gives, is none."""
    rows = np.flatnonzero(pc.fill_null(broken, False).to_numpy(zero_copy_only=False))
    return Faults(rows, table.select(list(columns)).take(pa.array(rows)))
