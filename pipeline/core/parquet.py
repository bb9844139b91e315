"""Parquet tables: a writer that casts to a schema and a reader that checks it."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.atomic_files import atomic_write
from pipeline.core.errors import BoxlineError

FILES = "files.parquet"
"""Table of image files: of `inspect` for all images, of `validate` for the accepted ones."""

ARCHIVES = "archives.parquet"
"""Table of archives, of `inspect`."""

QUARANTINE = "quarantine.parquet"
"""Table of the rows that `validate` rejects."""


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Write the columns of `schema`, cast to its types, compressed with zstd.

    Raises:
        ValueError: if a column that is not nullable has nulls.

    """
    with atomic_write(path) as partial:
        # Long texts hardly repeat, and a dictionary of them only takes time.
        repetitive = [field.name for field in schema if field.type != pa.large_string()]
        pq.write_table(table.select(schema.names).cast(schema), partial, compression="zstd", use_dictionary=repetitive)


def read_table(path: Path, schema: pa.Schema, left_out: Collection[str] = ()) -> pa.Table:
    """Read a table.

    Args:
        path: the file.
        schema: its columns.
        left_out: names of columns that are not read.

    Raises:
        BoxlineError: if names, types or units of its columns differ from `schema`, or the file is missing or corrupt.

    """
    with as_corrupt_table_error(str(path), "Delete it and run `dvc repro`."):
        try:
            stored = pq.read_schema(path)
            if not (differences := _differences(stored, schema)):
                return pq.read_table(path, columns=[name for name in schema.names if name not in left_out])
        except FileNotFoundError:
            raise BoxlineError(f"{path} not found. `dvc repro` builds it.") from None
    raise BoxlineError(
        f"{path}: {'; '.join(differences)}. It was written by another version of Boxline: "
        "delete it and run `dvc repro`."
    )


@contextlib.contextmanager
def as_corrupt_table_error(where: str, remedy: str) -> Iterator[None]:
    """Convert Arrow's errors about a corrupt file.

    Args:
        where: name of the table, for the message.
        remedy: sentence with what to do next.

    Raises:
        BoxlineError: if Arrow cannot read the file. Errors of the machine, such as a full disk, are left alone.

    """
    try:
        yield
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        if (
            getattr(error, "errno", None) is not None
        ):  # an error of the machine; Arrow's own about a corrupt file have none
            raise
        raise BoxlineError(f"{where} is not a Parquet table ({error}). {remedy}") from None


def type_and_unit(field: pa.Field) -> str:
    """Type and unit of a column for messages, such as "double in px"."""
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
