"""The tables, checked: what passes goes on, what fails goes to quarantine with its reason and its place."""

from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import format_percent
from pipeline.datasets.annotations import Tables
from pipeline.validation.base import BoxCheck, Check, DatasetCheck, DriftCheck, ImageCheck
from pipeline.validation.box_checks import ImageQuarantined
from pipeline.validation.config import Checks, ValidateConfig
from pipeline.validation.joins import boxes_with_images, images_with_files
from pipeline.validation.outcome import Outcome, Status
from pipeline.validation.row_checks import apply_row_checks
from pipeline.validation.statistics import DatasetStatistics

IMAGE_QUARANTINED = "image_quarantined"
"""Reason of the boxes of a refused image, which go with it."""


@dataclass(frozen=True)
class Validation:
    """What passed, with its files (schema.FILES), what did not (schema.QUARANTINE), and what the checks found.

    given_rows: images and boxes before the checks. max_quarantined_fraction: how many of them may be in quarantine, 0..1.
    """

    accepted: Tables
    files: pa.Table
    quarantine: pa.Table
    overview: DatasetStatistics
    outcomes: list[Outcome]
    given_rows: int
    max_quarantined_fraction: float

    @property
    def quarantined_fraction(self) -> float:
        """Of the rows of images and boxes together, 0..1."""
        return self.quarantine.num_rows / max(1, self.given_rows)

    def failures(self) -> list[str]:
        """Why the dataset as a whole does not pass; empty where it does."""
        found = []
        if not self.accepted.boxes.num_rows:
            found.append(f"no {'boxes' if self.accepted.images.num_rows else 'images'} passed the checks")
        if self.quarantined_fraction > self.max_quarantined_fraction:
            refusing = [outcome for outcome in self.outcomes if outcome.status == "quarantined"]
            found.append(
                f"{self.quarantine.num_rows} of {self.given_rows} rows ({format_percent(self.quarantined_fraction)}) are in "
                f"quarantine, allowed are {format_percent(self.max_quarantined_fraction)} "
                f"({', '.join(f'{outcome.name} {outcome.count}' for outcome in refusing)}; "
                f"first: {refusing[0].examples[0]})"
            )
        return found + [
            f"{outcome.name} found {outcome.count}, first: {outcome.examples[0]}"
            for outcome in self.outcomes
            if outcome.status == "failed"
        ]


def validate(tables: Tables, files: pa.Table, limits: ValidateConfig, checks: Checks) -> Validation:
    """Run all checks but those of drift; `files` (schema.FILES) says what `inspect` found.

    A row is refused by the first check with severity "error" that it breaks; a refused image takes its boxes with it.
    """
    images = apply_row_checks(
        "images", images_with_files(tables.images, files), schema.IMAGES, of_kind(checks, ImageCheck)
    )
    accepted_images = images.table.select(schema.IMAGES.names)
    boxes = apply_row_checks(
        "boxes",
        boxes_with_images(tables, accepted_images),
        schema.BOXES,
        {IMAGE_QUARANTINED: ImageQuarantined(severity="error"), **of_kind(checks, BoxCheck)},
    )
    accepted = Tables(accepted_images, boxes.table.select(schema.BOXES.names), tables.categories)
    overview = DatasetStatistics.of(accepted)
    return Validation(
        accepted=accepted,
        files=files.filter(pc.is_in(files["image_id"], value_set=accepted_images["image_id"].combine_chunks())),
        quarantine=pa.concat_tables([images.quarantine, boxes.quarantine]),
        overview=overview,
        outcomes=[
            *images.outcomes,
            *boxes.outcomes,
            *(judged(name, check, overview) for name, check in of_kind(checks, DatasetCheck).items()),
        ],
        given_rows=tables.images.num_rows + tables.boxes.num_rows,
        max_quarantined_fraction=limits.max_quarantined_fraction,
    )


def drift(checks: Checks, before: DatasetStatistics | BoxlineError | str, now: DatasetStatistics) -> list[Outcome]:
    """The checks against an earlier version. Where there is none, `before` says why, and no check is run.

    Where there is one that cannot be read, `before` is what went wrong, and a check of severity "error" fails: nobody
    knows then whether the data has moved.
    """
    found = of_kind(checks, DriftCheck).items()
    if isinstance(before, DatasetStatistics):
        return [judged(name, check, before, now) for name, check in found]
    return [_not_run(name, check, str(before), is_fault=isinstance(before, BoxlineError)) for name, check in found]


def _not_run(name: str, check: DriftCheck, reason: str, *, is_fault: bool) -> Outcome:
    if is_fault and check.severity == "error":
        return Outcome.of(name, check, "failed", 1, reason, [reason])
    return Outcome.of(name, check, "off" if check.severity == "off" else "not run", measured=reason)


Kind = TypeVar("Kind", bound=Check)


def of_kind(checks: Checks, kind: type[Kind]) -> dict[str, Kind]:
    """The checks of that kind by name, in order."""
    return {name: check for name, check in checks if isinstance(check, kind)}


def judged(name: str, check: DatasetCheck | DriftCheck, *overviews: DatasetStatistics) -> Outcome:
    """The outcome of a check of whole datasets."""
    if check.severity == "off":
        return Outcome.of(name, check, "off")
    findings = check.findings(*overviews)
    count = len(findings.broken)
    status: Status = "passed" if not count else "failed" if check.severity == "error" else "warned"
    return Outcome.of(name, check, status, count, findings.measured, findings.broken)
