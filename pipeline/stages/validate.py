"""Stage `validate`: checks the tables, and quarantines the rows that violate an error."""

import logging
from pathlib import Path

from pipeline.core import schema
from pipeline.core.atomic_files import atomic_directory, atomic_write, write_json
from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import pluralize
from pipeline.core.parquet import FILES, QUARANTINE, read_table, write_table
from pipeline.datasets.annotations import Reading
from pipeline.stages.runner import run_stage
from pipeline.validation.config import parse_checks
from pipeline.validation.html_report import write_validation_page
from pipeline.validation.json_report import as_json, passed_over_texts
from pipeline.validation.markdown_report import as_markdown
from pipeline.validation.run_checks import run_checks

logger = logging.getLogger(__name__)


def validate(
    dataset: str, tables: Path, files: Path, archives: Path, out: Path, report: Path, summary: Path, page: Path
) -> None:
    """Run the checks. If the dataset as a whole fails, only the reports and the quarantine are written.

    Args:
        dataset: a key of `datasets` in params.yaml.
        tables: the folder of the tables as published, with their locations and what the reader refused.
        files: the table of image files that `inspect` wrote.
        archives: the table of archives that `inspect` wrote.
        out: the folder to replace; it gets the accepted rows and the quarantine.
        report: the JSON report, for programs.
        summary: the Markdown report, for pull requests.
        page: the HTML report, for people.

    """
    config, checks = parse_checks(load_params(), dataset)
    inspected = read_table(files, schema.FILES)
    published = Reading.read(tables)
    validation = run_checks(published, inspected, read_table(archives, schema.ARCHIVES), config, checks)
    write_json(report, as_json(validation))
    with atomic_write(summary) as partial:
        partial.write_text(as_markdown(dataset, validation), encoding="utf-8")
    write_validation_page(page, dataset, validation, inspected)
    failures = validation.failures()
    with atomic_directory(out) as folder:
        write_table(folder / QUARANTINE, validation.quarantine, schema.QUARANTINE)
        if not failures:
            validation.accepted.write(folder)
            write_table(folder / FILES, validation.files, schema.FILES)
    if failures:
        raise BoxlineError(
            f"{dataset} fails validation: {'; '.join(failures)}. For details see {page} and {out / QUARANTINE}. "
            f"Correct the data, or change `checks` or datasets.{dataset}.validate in params.yaml."
        )
    num_warnings = sum(result.status == "warned" for result in validation.results)
    logger.info(
        "accepted %s and %s of %s, %s quarantined, %s%s",
        pluralize(validation.accepted.images.num_rows, "image", "images"),
        pluralize(validation.accepted.boxes.num_rows, "box", "boxes"),
        dataset,
        pluralize(validation.quarantine.num_rows, "row", "rows"),
        pluralize(num_warnings, "warning", "warnings"),
        "".join(f"; passed over {text}" for text in passed_over_texts(validation)),
    )


if __name__ == "__main__":
    run_stage(validate)
