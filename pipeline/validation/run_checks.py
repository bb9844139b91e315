"""Runs all checks of a dataset."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import format_percent
from pipeline.datasets.annotations import Reading, Tables, image_rows_of
from pipeline.validation.base import (
    ArchiveCheck,
    Check,
    CheckResult,
    DriftCheck,
    Findings,
    Status,
)
from pipeline.validation.box_checks import ImageQuarantined
from pipeline.validation.config import Checks, ValidateConfig
from pipeline.validation.joins import ROW_NUMBER, boxes_with_images, images_with_files
from pipeline.validation.outlines import COLUMNS, measure_outlines
from pipeline.validation.quarantine import apply_row_checks, quarantine_refused
from pipeline.validation.statistics import DatasetStatistics

IMAGE_QUARANTINED = "image_quarantined"
"""Reason for the quarantine of the boxes of a quarantined image."""


@dataclass(frozen=True)
class ValidationResult:
    """The result of all checks of a dataset.

    Attributes:
        accepted: the rows that passed.
        files: the files of the accepted images, schema.FILES.
        quarantine: the rejected rows, and what the reader refused, schema.QUARANTINE.
        passed_over: what the reader did not use, schema.PASSED_OVER.
        statistics: of the accepted rows.
        results: one result per check.
        num_input_rows: number of images, boxes and refused entries before the checks.
        max_quarantined_fraction: the fraction of them that may be quarantined, 0..1.

    """

    accepted: Tables
    files: pa.Table
    quarantine: pa.Table
    passed_over: pa.Table
    statistics: DatasetStatistics
    results: list[CheckResult]
    num_input_rows: int
    max_quarantined_fraction: float

    @property
    def quarantined_fraction(self) -> float:
        """Fraction of images, boxes and refused entries together that are quarantined, 0..1."""
        return self.quarantine.num_rows / max(1, self.num_input_rows)

    def failures(self) -> list[str]:
        """Why the dataset as a whole fails; empty if it passes."""
        failures = []
        training = self.accepted.split("train")
        if not training.boxes.num_rows:
            failures.append(f"no training {'boxes' if training.images.num_rows else 'images'} passed the checks")
        if self.quarantined_fraction > self.max_quarantined_fraction:
            rejecting = [result for result in self.results if result.status == "quarantined"]
            failures.append(
                f"{self.quarantine.num_rows} of {self.num_input_rows} rows "
                f"({format_percent(self.quarantined_fraction)}) are in quarantine, the limit is "
                f"{format_percent(self.max_quarantined_fraction)} "
                f"({', '.join(f'{result.name} {result.count}' for result in rejecting)}; "
                f"first: {rejecting[0].examples[0]})"
            )
        return failures + [
            f"{result.name} found {result.count}, first: {result.examples[0]}"
            for result in self.results
            if result.status == "failed"
        ]


def run_checks(
    reading: Reading, files: pa.Table, archives: pa.Table, config: ValidateConfig, checks: Checks
) -> ValidationResult:
    """Run all checks but those of drift.

    A row is rejected by the first check of severity "error" that it violates. The boxes of a rejected image are
    rejected too.

    Args:
        reading: the dataset as published.
        files: the files of the images, schema.FILES, as the stage `inspect` found them.
        archives: their archives, schema.ARCHIVES.
        config: the dataset's `validate` section.
        checks: all checks, with the dataset's own thresholds.

    """
    tables = reading.tables
    refused, refused_result = quarantine_refused(reading.refused)
    images = apply_row_checks(
        "images",
        images_with_files(tables.images, files),
        reading.image_locations,
        schema.IMAGES,
        checks.of_images(),
    )
    accepted_images = images.accepted.select(schema.IMAGES.names)
    boxes = apply_row_checks(
        "boxes",
        _with_measured_outlines(boxes_with_images(tables, accepted_images), tables.boxes, checks),
        reading.box_locations,
        schema.BOXES,
        {IMAGE_QUARANTINED: ImageQuarantined(severity="error"), **checks.of_boxes()},
    )
    accepted_boxes = tables.boxes.take(pc.subtract(boxes.accepted[ROW_NUMBER], 1))
    accepted = Tables(accepted_images, accepted_boxes, tables.categories)
    statistics = DatasetStatistics.of(accepted, tables.images)
    archive_results = [_archive_result(name, check, archives) for name, check in checks.of_archives().items()]
    dataset_results = [
        _dataset_result(name, check, check.measure(statistics) if check.severity != "off" else None)
        for name, check in checks.of_dataset().items()
    ]
    return ValidationResult(
        accepted=accepted,
        files=files.filter(pa.array(image_rows_of(files, accepted_images) >= 0)),
        quarantine=pa.concat_tables([refused, images.quarantine, boxes.quarantine]),
        passed_over=reading.passed_over,
        statistics=statistics,
        results=[refused_result, *images.results, *archive_results, *boxes.results, *dataset_results],
        num_input_rows=tables.images.num_rows + tables.boxes.num_rows + refused.num_rows,
        max_quarantined_fraction=config.max_quarantined_fraction,
    )


def _with_measured_outlines(rows: pa.Table, boxes: pa.Table, checks: Checks) -> pa.Table:
    """Append outlines.COLUMNS to the rows of boxes; they are null if no check reads them."""
    is_checked = {checks.outline_malformed.severity, checks.box_differs_from_outline.severity} != {"off"}
    outlines = boxes[schema.OUTLINE.name] if is_checked and schema.OUTLINE.name in boxes.column_names else None
    if outlines is None:
        measured = pa.table([pa.nulls(rows.num_rows, field.type) for field in COLUMNS], COLUMNS)
    else:
        height, width = (pc.fill_null(rows[f"image_{side}"], 0).to_numpy() for side in ("height", "width"))
        measured = measure_outlines(outlines, height, width)
    for field in COLUMNS:
        rows = rows.append_column(field, measured[field.name])
    return rows


def run_drift_checks(
    checks: Checks, before: DatasetStatistics | BoxlineError | str, now: DatasetStatistics
) -> list[CheckResult]:
    """Run the checks against an earlier version.

    Args:
        checks: all checks.
        before: statistics of the earlier version; a text if there is none, which says why; or the error if it cannot
            be read. With an error, the checks of severity "error" fail, because the drift is unknown.
        now: statistics of the current version.

    """
    drift_checks = checks.of_drift().items()
    if isinstance(before, DatasetStatistics):
        return [
            _dataset_result(name, check, check.measure(before, now) if check.severity != "off" else None)
            for name, check in drift_checks
        ]
    return [
        _not_run(name, check, str(before), is_error=isinstance(before, BoxlineError)) for name, check in drift_checks
    ]


def _dataset_result(name: str, check: Check, findings: Findings | None) -> CheckResult:
    """The result of a check of whole datasets; `findings` is None if it is off."""
    if findings is None:
        return CheckResult.of(name, check, "off")
    count = len(findings.violations)
    return CheckResult.of(name, check, _status(check, count), count, findings.measured, findings.violations)


def _archive_result(name: str, check: ArchiveCheck, archives: pa.Table) -> CheckResult:
    if check.severity == "off":
        return CheckResult.of(name, check, "off")
    count, findings = check.measure(archives)
    return CheckResult.of(name, check, _status(check, count), count, findings.measured, findings.violations)


def _status(check: Check, count: int) -> Status:
    """The status of a check that examines more than single rows."""
    return "passed" if not count else "failed" if check.severity == "error" else "warned"


def _not_run(name: str, check: DriftCheck, reason: str, *, is_error: bool) -> CheckResult:
    if is_error and check.severity == "error":
        return CheckResult.of(name, check, "failed", 1, reason, [reason])
    return CheckResult.of(name, check, "off" if check.severity == "off" else "not run", measured=reason)
