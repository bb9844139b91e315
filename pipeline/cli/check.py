"""boxline check: the checks of the data, without writing any output."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.cli.github import append_step_summary, workflow_command
from pipeline.core import schema
from pipeline.core.config import Params, load_params
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.formatting import format_table
from pipeline.core.parquet import ARCHIVES, FILES, read_table
from pipeline.datasets.annotations import Reading
from pipeline.diff.revisions import DatasetVersion, UnknownRevisionError, at_revision
from pipeline.validation.base import CheckResult
from pipeline.validation.config import parse_checks
from pipeline.validation.json_report import passed_over_texts
from pipeline.validation.markdown_report import as_markdown
from pipeline.validation.run_checks import ValidationResult, run_checks, run_drift_checks
from pipeline.validation.statistics import DatasetStatistics

DATA = Path("data")
HEADER = ("check", "severity", "status", "rows", "example")
WITHOUT_REVISION = "needs --against REV"

MAX_ANNOTATIONS = 10
"""Errors, and warnings, that GitHub shows per step; it silently drops the rest."""


def check(
    datasets: list[str] | None = None,
    /,
    *,
    against: str | None = None,
    github: bool = False,
    verbose: bool = False,
) -> int:
    """Check the data as the stage `validate` does, without writing any output.

    Prints one line per dataset, and below it the checks that failed, warned or could not run. The exit code is 1 if a
    dataset does not pass.

    Args:
        datasets: keys of datasets in params.yaml; all if omitted.
        against: also check the drift since this Git revision, such as HEAD, whose tables DVC must have.
        github: also print annotations for GitHub Actions, and append the report to the file in GITHUB_STEP_SUMMARY.
        verbose: list every check, also those that passed or are switched off.

    """
    params = load_params()
    names = datasets or list(params.datasets)
    validations = {}
    with contextlib.ExitStack() as stack:
        before = stack.enter_context(_open_revision(against, params)) if against else None
        _require_tables(params, names)
        for name in names:
            validations[name] = _validate(params, name, before)
            sys.stdout.write(_format(name, validations[name], verbose=verbose) + "\n")
            sys.stdout.flush()
    if github:
        sys.stdout.writelines(line + "\n" for line in annotations(validations))
    failing = [name for name, validation in validations.items() if validation.failures()]
    sys.stdout.write(_conclusion(validations, failing) + "\n")
    if github:
        append_step_summary([as_markdown(name, validation) for name, validation in validations.items()])
    return 1 if failing else 0


def annotations(validations: dict[str, ValidationResult]) -> list[str]:
    """Workflow commands that GitHub shows next to a pull request: why datasets fail, and their warnings."""
    errors = [
        ("error", f"{name} fails", failure)
        for name, validation in validations.items()
        for failure in validation.failures()
    ]
    warnings = [
        ("warning", f"{name}: {result.name}", f"{result.count} found. {result.examples[0]}")
        for name, validation in validations.items()
        for result in validation.results
        if result.status in ("quarantined", "warned")
    ]
    return [workflow_command(*entry) for entries in (errors, warnings) for entry in _limit(entries)]


def _require_tables(params: Params, names: list[str]) -> None:
    for name in names:
        params.dataset(name)
    missing = [
        name
        for name in names
        if not (DATA / name / "tables").is_dir() or not (DATA / name / "inspect" / FILES).is_file()
    ]
    if missing:
        targets = " ".join(f"tables@{name} inspect@{name}" for name in missing)
        raise BoxlineError(
            f"{DATA}/ has no tables of {join_items(missing)}. Build them with `dvc repro {targets}`, or fetch those of "
            f"this commit with `dvc pull {targets}` if they were pushed."
        )


@contextlib.contextmanager
def _open_revision(revision: str, params: Params) -> Iterator[DatasetVersion]:
    try:
        with at_revision(revision) as version:
            yield version
    except UnknownRevisionError:
        if revision not in params.datasets:
            raise
        raise BoxlineError(
            f"--against: received {revision!r}, which is a dataset, expected a Git revision: "
            f"boxline check {revision} --against HEAD"
        ) from None


def _validate(params: Params, name: str, before: DatasetVersion | None) -> ValidationResult:
    limits, checks = parse_checks(params, name)
    files = read_table(DATA / name / "inspect" / FILES, schema.FILES)
    archives = read_table(DATA / name / "inspect" / ARCHIVES, schema.ARCHIVES)
    validation = run_checks(Reading.read(DATA / name / "tables"), files, archives, limits, checks)
    drift_results = run_drift_checks(checks, _statistics(before, name), validation.statistics)
    return replace(validation, results=[*validation.results, *drift_results])


def _statistics(version: DatasetVersion | None, name: str) -> DatasetStatistics | BoxlineError | str:
    """Statistics of the tables of that version; the error if they are corrupt, the reason if there are none."""
    if version is None:
        return WITHOUT_REVISION
    if name not in version.datasets:
        return f"{version.name} has no tables of {name}"
    try:
        return DatasetStatistics.of(version.tables(name))
    except BoxlineError as error:
        return error


def _format(name: str, validation: ValidationResult, *, verbose: bool) -> str:
    failures = validation.failures()
    findings = [result for result in validation.results if _needs_attention(result)]
    verdict = "fails" if failures else "passes with findings" if findings else "passes"
    lines = [f"{name}: {validation.statistics.format_counts()}: {verdict}"]
    lines += [f"passed over {text}" for text in passed_over_texts(validation)]
    listed = validation.results if verbose else findings
    if listed:
        rows = [HEADER, *(_row(result) for result in listed)]
        lines += ["", *format_table(rows, "<" * len(HEADER), ruled=True), ""]
    return "\n".join([*lines, *(f"FAILS: {failure}\n" for failure in failures)])


def _needs_attention(result: CheckResult) -> bool:
    if result.status == "not run":
        return result.measured != WITHOUT_REVISION
    return result.status not in ("passed", "off")


def _row(result: CheckResult) -> tuple[str, ...]:
    was_run = result.status not in ("off", "not run")
    example = result.examples[0] if result.examples else result.measured
    return result.name, result.severity, result.status, f"{result.count:,}" if was_run else "", example


def _conclusion(validations: dict[str, ValidationResult], failing: list[str]) -> str:
    warnings = sum(result.status == "warned" for validation in validations.values() for result in validation.results)
    passing = f"{len(validations) - len(failing)} of {len(validations)} datasets pass."
    return " ".join([passing, *([f"Failing: {join_items(failing)}."] if failing else []), f"Warnings: {warnings}."])


def _limit(entries: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """As many as GitHub shows; the last one is the number of the rest."""
    if len(entries) <= MAX_ANNOTATIONS:
        return entries
    shown = entries[: MAX_ANNOTATIONS - 1]
    level = entries[0][0]
    return [*shown, (level, "and more", f"{len(entries) - len(shown)} more {level}s are in the summary of this job.")]
