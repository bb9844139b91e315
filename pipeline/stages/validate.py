"""validate: the tables, checked. Good rows go on, bad ones to quarantine, too many of them fail the stage."""

import logging
from pathlib import Path

from pipeline.core import schema
from pipeline.core.atomic_files import atomic_directory, atomic_write, write_json
from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import pluralize
from pipeline.core.parquet import FILES, QUARANTINE, read_table, write_table
from pipeline.datasets.annotations import Tables
from pipeline.stages.runner import run_stage
from pipeline.validation.config import checks_of
from pipeline.validation.html_report import write_page
from pipeline.validation.json_report import as_json
from pipeline.validation.markdown_report import as_markdown
from pipeline.validation.run import validate as run_checks

logger = logging.getLogger(__name__)


def validate(dataset: str, tables: Path, files: Path, out: Path, report: Path, summary: Path, page: Path) -> None:
    """Check `tables`, and `files`, what `inspect` found of their images.

    `out` gets the accepted rows and quarantine.parquet. What was found is in `report` for machines, in `summary` for
    pull requests and in `page` for people. Where the dataset as a whole does not pass, these and quarantine.parquet
    are written all the same, since they say what to correct, and nothing else.
    """
    limits, checks = checks_of(load_params(), dataset)
    inspected = read_table(files, schema.FILES)
    validation = run_checks(Tables.read(tables), inspected, limits, checks)
    write_json(report, as_json(validation))
    with atomic_write(summary) as partial:
        partial.write_text(as_markdown(dataset, validation), encoding="utf-8")
    write_page(page, dataset, validation, inspected)
    failures = validation.failures()
    with atomic_directory(out) as folder:
        write_table(folder / QUARANTINE, validation.quarantine, schema.QUARANTINE)
        if not failures:
            validation.accepted.write(folder)
            write_table(folder / FILES, validation.files, schema.FILES)
    if failures:
        raise BoxlineError(
            f"{dataset} does not pass: {'; '.join(failures)}. {page} and {out / QUARANTINE} show more. Correct the "
            f"data, or change `checks` or datasets.{dataset}.validate in params.yaml."
        )
    warned = sum(outcome.status == "warned" for outcome in validation.outcomes)
    logger.info(
        "accepted %s and %s of %s, %s quarantined, %s",
        pluralize(validation.accepted.images.num_rows, "image", "images"),
        pluralize(validation.accepted.boxes.num_rows, "box", "boxes"),
        dataset,
        pluralize(validation.quarantine.num_rows, "row", "rows"),
        pluralize(warned, "warning", "warnings"),
    )


if __name__ == "__main__":
    run_stage(validate)
