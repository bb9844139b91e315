"""boxline check: the checks of the data, without writing any output."""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.core import schema
from pipeline.core.config import Params, load_params
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.formatting import format_table
from pipeline.core.parquet import FILES, read_table
from pipeline.datasets.annotations import Tables
from pipeline.diff.revisions import DatasetVersion, NoRevisionError, at_revision
from pipeline.validation.config import checks_of
from pipeline.validation.markdown_report import as_markdown
from pipeline.validation.outcome import Outcome
from pipeline.validation.run import Validation, drift, validate
from pipeline.validation.statistics import DatasetStatistics

logger = logging.getLogger(__name__)

HELP = "check the data as `validate` does"
DESCRIPTION = (
    "Check the tables and images of datasets as the stage `validate` does, without writing any output. Exit code 1 "
    "says that one of them does not pass."
)

DATA = Path("data")
HEADER = ("check", "severity", "status", "rows", "example")

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
MAX_ANNOTATIONS = 10
"""Errors, and warnings, that GitHub shows of one step; it drops more without a word."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that `check` takes."""
    parser.add_argument("datasets", metavar="DATASET", nargs="*", help="keys of datasets in params.yaml (default: all)")
    parser.add_argument(
        "--against",
        metavar="REV",
        nargs="?",
        const="HEAD",
        help="also check how far the data has moved from a Git revision whose tables DVC has (HEAD if none is named)",
    )
    parser.add_argument(
        "--github",
        action="store_true",
        help=f"also write annotations for GitHub Actions, and the report to the file that {SUMMARY_VARIABLE} names",
    )


def check(datasets: list[str], against: str | None, github: bool) -> int:
    """Check datasets; return the exit code."""
    loaded = load_params()
    names = datasets or list(loaded.datasets)
    found = {}
    with contextlib.ExitStack() as opened:
        before = opened.enter_context(_earlier(against, loaded)) if against else None
        _require_tables(loaded, names)
        for name in names:
            found[name] = _checked(loaded, name, before)
            sys.stdout.write(_shown(name, found[name]) + "\n")
            sys.stdout.flush()
    if github:
        sys.stdout.writelines(line + "\n" for line in annotations(found))
    failing = [name for name, validation in found.items() if validation.failures()]
    sys.stdout.write(_closing(found, failing) + "\n")
    if github:
        _write_summary(found)
    return 1 if failing else 0


def annotations(found: dict[str, Validation]) -> list[str]:
    """Workflow commands that GitHub shows beside the pull request: why a dataset fails, and what it warns of."""
    errors = [("error", f"{name} fails", failure) for name, one in found.items() for failure in one.failures()]
    warnings = [
        ("warning", f"{name}: {outcome.name}", f"{outcome.count} found. {outcome.examples[0]}")
        for name, one in found.items()
        for outcome in one.outcomes
        if outcome.status in ("quarantined", "warned")
    ]
    return [_command(*one) for group in (errors, warnings) for one in _bounded(group)]


def _require_tables(loaded: Params, names: list[str]) -> None:
    for name in names:
        loaded.dataset(name)
    missing = [
        name
        for name in names
        if not (DATA / name / "tables").is_dir() or not (DATA / name / "inspect" / FILES).is_file()
    ]
    if missing:
        targets = " ".join(f"tables@{name} inspect@{name}" for name in missing)
        raise BoxlineError(
            f"{DATA}/ has no tables of {join_items(missing)}. `dvc repro {targets}` makes them; `dvc pull {targets}` "
            "fetches those of this commit, once `dvc push` has stored them."
        )


@contextlib.contextmanager
def _earlier(revision: str, loaded: Params) -> Iterator[DatasetVersion]:
    try:
        with at_revision(revision) as version:
            yield version
    except NoRevisionError:
        if revision not in loaded.datasets:
            raise
        raise BoxlineError(
            f"{revision!r} is no Git revision but a dataset. Name datasets before the revision: "
            f"boxline check {revision} --against"
        ) from None


def _checked(loaded: Params, name: str, before: DatasetVersion | None) -> Validation:
    limits, checks = checks_of(loaded, name)
    files = read_table(DATA / name / "inspect" / FILES, schema.FILES)
    validation = validate(Tables.read(DATA / name / "tables"), files, limits, checks)
    drifted = drift(checks, _overview_of(before, name), validation.overview)
    return replace(validation, outcomes=[*validation.outcomes, *drifted])


def _overview_of(version: DatasetVersion | None, name: str) -> DatasetStatistics | BoxlineError | str:
    """Of the tables that passed in that version, or why there are none, or why they cannot be read."""
    if version is None:
        return "not asked for: --against REV"
    if name not in version.datasets:
        return f"{version.name} has no tables of {name}"
    try:
        return DatasetStatistics.of(version.tables(name))
    except BoxlineError as error:
        return error


def _shown(name: str, validation: Validation) -> str:
    """The counts, and a table of all checks."""
    rows = [HEADER, *(_row(outcome) for outcome in validation.outcomes)]
    return "\n".join(
        [
            f"{name}: {validation.overview.counts()}",
            "",
            *format_table(rows, "<" * len(HEADER), ruled=True),
            "",
            *(f"FAILS: {one}\n" for one in validation.failures()),
        ]
    )


def _row(outcome: Outcome) -> tuple[str, ...]:
    looked = outcome.status not in ("off", "not run")
    example = outcome.examples[0] if outcome.examples else outcome.measured
    return outcome.name, outcome.severity, outcome.status, f"{outcome.count:,}" if looked else "", example


def _closing(found: dict[str, Validation], failing: list[str]) -> str:
    warnings = sum(outcome.status == "warned" for validation in found.values() for outcome in validation.outcomes)
    passing = f"{len(found) - len(failing)} of {len(found)} datasets pass."
    return " ".join([passing, *([f"Failing: {join_items(failing)}."] if failing else []), f"Warnings: {warnings}."])


def _bounded(group: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """As many as GitHub shows; the last one says how many more there are."""
    if len(group) <= MAX_ANNOTATIONS:
        return group
    shown = group[: MAX_ANNOTATIONS - 1]
    level = group[0][0]
    return [*shown, (level, "and more", f"{len(group) - len(shown)} more {level}s are in the summary of this job.")]


def _command(level: str, title: str, message: str) -> str:
    r"""One workflow command on one line.

    >>> _command("error", "coco: box", "50 % of a,b:\nall")
    '::error title=coco%3A box::50 %25 of a,b:%0Aall'
    """
    return f"::{level} title={_escaped(title, ':,')}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    """As GitHub's runner takes it: what would end the line, and in a property what would end the property."""
    for character in "%\r\n" + more:  # the sign that escapes comes first
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _write_summary(found: dict[str, Validation]) -> None:
    path = os.environ.get(SUMMARY_VARIABLE)
    if not path:
        logger.info("%s is not set, so the report was written nowhere.", SUMMARY_VARIABLE)
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(as_markdown(name, validation) + "\n" for name, validation in found.items())
    except OSError as error:
        raise BoxlineError(
            f"{SUMMARY_VARIABLE} is {path}, which cannot be written to ({error.strerror}). Expected the file that "
            "GitHub's runner has made. Correct the variable, or unset it to do without the report."
        ) from None
