"""Parquet tables: one writer that casts to the schema and one reader that checks it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.atomic_files import atomic_write
from pipeline.core.errors import BoxlineError

FILES = "files.parquet"
"""What `inspect` found, and of that what `validate` lets pass."""

QUARANTINE = "quarantine.parquet"
"""What `validate` does not let pass."""


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Parquet with zstd: the columns of `schema`, cast to its types. A null where none may be is an error."""
    with atomic_write(path) as partial:
        pq.write_table(table.select(schema.names).cast(schema), partial, compression="zstd")


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """A table that has exactly `schema`: names, types and units. Raises BoxlineError naming the columns that differ."""
    with as_corrupt_table_error(str(path), "Delete it and run `dvc repro`."):
        try:
            table = pq.read_table(path)
        except FileNotFoundError:
            raise BoxlineError(f"{path} not found. `dvc repro` builds it.") from None
    if differences := _differences(table.schema, schema):
        raise BoxlineError(
            f"{path}: {'; '.join(differences)}. It was written by another version of Boxline: "
            "delete it and run `dvc repro`."
        )
    return table


@contextlib.contextmanager
def as_corrupt_table_error(where: str, remedy: str) -> Iterator[None]:
    """What Arrow says while it reads a damaged file, as a BoxlineError about the table `where`."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        if getattr(error, "errno", None) is not None:  # the machine's own; Arrow's about a damaged file have none
            raise
        raise BoxlineError(f"{where} is not a Parquet table ({error}). {remedy}") from None


def type_and_unit(field: pa.Field) -> str:
    """What a column holds, as messages say it: double in px."""
    unit = (field.metadata or {}).get(b"unit", b"").decode(errors="replace")
    return f"{field.type}{' or null' if field.nullable else ''}{f' in {unit}' if unit else ''}"


def _differences(received: pa.Schema, expected: pa.Schema) -> list[str]:
    missing = [f"column {name} is missing" for name in expected.names if name not in received.names]
    extra = [f"column {name} is unknown" for name in received.names if name not in expected.names]
    changed = [
        f"column {field.name} is {type_and_unit(received.field(field.name))}, expected {type_and_unit(field)}"
        for field in expected
        if field.name in received.names and type_and_unit(received.field(field.name)) != type_and_unit(field)
    ]
    if not missing + extra + changed and received.names != expected.names:
        return [f"columns are ordered {received.names}, expected {expected.names}"]
    return missing + extra + changed
