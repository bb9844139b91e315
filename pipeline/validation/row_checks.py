"""Rows, checked one check after another: those that stay, those that go to quarantine, and what was found."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core import schema
from pipeline.validation.base import Faults, RowCheck
from pipeline.validation.joins import ROW_NUMBER
from pipeline.validation.outcome import EXAMPLES, Outcome, Status

ID = {"images": "image_id", "boxes": "box_id"}

SLICE_ROWS = 1 << 16
"""Rows that are objects at one time."""


@dataclass(frozen=True)
class RowCheckResult:
    """The rows that stay, as they came; schema.QUARANTINE of the others; and an outcome per check."""

    table: pa.Table
    quarantine: pa.Table
    outcomes: list[Outcome]


def apply_row_checks(name: str, table: pa.Table, columns: pa.Schema, checks: Mapping[str, RowCheck]) -> RowCheckResult:
    """Run `checks` over the rows of `table`, which is the table `name` with its own `columns` and more to look at.

    A row that an error refuses meets no further check.
    """
    outcomes, refused = [], [schema.QUARANTINE.empty_table()]
    for check_name, check in checks.items():
        if check.severity == "off":
            outcomes.append(Outcome.of(check_name, check, "off"))
            continue
        faults = check.faults(table)
        rows = table.take(pa.array(faults.rows))
        found = _found(name, rows, faults)
        outcomes.append(_outcome(check_name, check, found, faults.note))
        if check.severity == "error" and rows.num_rows:
            refused.append(_quarantined(check_name, found, faults.values, rows.select(columns.names)))
            staying = np.ones(table.num_rows, bool)
            staying[faults.rows] = False
            table = table.filter(pa.array(staying))
    return RowCheckResult(table, pa.concat_tables(refused), outcomes)


def told(row: dict[str, Any]) -> str:
    """A row of `Outcome.found` as people read it.

    >>> place = {"table": "boxes", "row_number": 4, "row_id": 23, "image_id": 7, "file_name": "7.jpg"}
    >>> told({**place, "values": {"width": -3.0, "height": 28.25}})
    'boxes row 4, box 23 of 7.jpg: width -3, height 28.25'
    """
    image = row["file_name"] or f"image {row['image_id']}"
    subject = f"box {row['row_id']} of {image}" if row["table"] == "boxes" else f"image {row['row_id']}, {image}"
    values = ", ".join(f"{name} {_text(value)}" for name, value in row["values"].items())
    return f"{row['table']} row {row['row_number']}, {subject}: {values}"


def _found(name: str, rows: pa.Table, faults: Faults) -> pa.Table:
    """The place of each row, as in schema.QUARANTINE, and the values that break the check as a struct."""
    return pa.table(
        {
            "table": pa.repeat(name, rows.num_rows),
            "row_number": rows[ROW_NUMBER],
            "row_id": rows[ID[name]],
            "image_id": rows["image_id"],
            "file_name": rows["file_name"].cast(pa.string()),
            "values": faults.values.to_struct_array(),
        }
    )


def _outcome(name: str, check: RowCheck, found: pa.Table, note: str) -> Outcome:
    status: Status = "passed" if not found.num_rows else "quarantined" if check.severity == "error" else "warned"
    examples = map(told, found.slice(0, EXAMPLES).to_pylist())
    return Outcome.of(name, check, status, found.num_rows, note, examples, found)


def _quarantined(reason: str, found: pa.Table, values: pa.Table, rows: pa.Table) -> pa.Table:
    content = {
        **{name: found[name] for name in ("table", "row_number", "row_id", "image_id", "file_name")},
        "reason": pa.repeat(reason, found.num_rows),
        "values": _as_json(values),
        "row": _as_json(rows),
    }
    return pa.table([content[name] for name in schema.QUARANTINE.names], schema.QUARANTINE)


def _as_json(rows: pa.Table) -> pa.ChunkedArray:
    """Each row as a JSON object, some rows at a time: a million at once are a gigabyte of Python's objects."""
    record = msgspec.defstruct("Record", rows.column_names, gc=False)
    encoder = msgspec.json.Encoder()
    pieces = []
    for start in range(0, rows.num_rows, SLICE_ROWS):
        columns = map(_python_values, rows.slice(start, SLICE_ROWS).columns)
        lines = encoder.encode_lines(map(record, *columns))  # a line break in a text is an escape there
        pieces.append(pa.array(lines.splitlines(), pa.string()))
    return pa.chunked_array(pieces, pa.string())


def _python_values(column: pa.ChunkedArray) -> list[Any]:
    """NaN and infinity as text, since JSON has no word for them."""
    values: list[Any] = column.to_numpy().tolist() if not column.null_count else column.to_pylist()
    if pa.types.is_floating(column.type) and not pc.all(pc.is_finite(column)).as_py():
        return [str(value) if isinstance(value, float) and not math.isfinite(value) else value for value in values]
    return values


def _text(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
