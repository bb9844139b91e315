"""validate: the tables, checked. Good rows go on, bad ones to quarantine, too many of them fail the stage."""

from pathlib import Path

from pipeline import params, schema
from pipeline.checks.validation import Validate, require
from pipeline.checks.validation import validate as run_checks
from pipeline.command import run_stage
from pipeline.datasets.tables import Tables
from pipeline.storage.files import whole_folder, write_json
from pipeline.storage.tables import FILES, read_table, write_table


def validate(dataset: str, tables: Path, files: Path, out: Path, report: Path) -> None:
    """Check `tables`, and `files`, what `inspect` found of their images.

    `out` gets the accepted rows and quarantine.parquet, `report` the counts.
    """
    limits = params.section(params.load().dataset(dataset).validate, Validate, f"datasets.{dataset}.validate")
    validation = run_checks(Tables.read(tables), read_table(files, schema.FILES))
    write_json(report, validation.report)  # before the verdict: it says what to correct
    require(validation, limits, report)
    with whole_folder(out) as folder:
        validation.accepted.write(folder)
        write_table(folder / FILES, validation.files, schema.FILES)
        write_table(folder / "quarantine.parquet", validation.quarantine, schema.QUARANTINE)


if __name__ == "__main__":
    run_stage(validate, "dataset", ["tables", "files", "out", "report"])
