"""Applies the checks of rows one after the other, and splits the rows into accepted and quarantined ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core import schema
from pipeline.validation.base import MAX_EXAMPLES, CheckResult, RowCheck, Status, Violations
from pipeline.validation.joins import ROW_NUMBER

TableName = Literal["images", "boxes"]

ID_COLUMNS: dict[TableName, str] = {"images": "image_id", "boxes": "box_id"}

CHUNK_ROWS = 1 << 16
"""Rows that are Python objects at the same time; a million take a gigabyte."""


@dataclass(frozen=True)
class RowCheckResult:
    """The rows of a table after its checks.

    Attributes:
        accepted: the rows that no check of severity "error" rejected, with all columns of the input.
        quarantine: the other rows, schema.QUARANTINE.
        results: one result per check, in their order.

    """

    accepted: pa.Table
    quarantine: pa.Table
    results: list[CheckResult]


def apply_row_checks(
    name: TableName, table: pa.Table, columns: pa.Schema, checks: Mapping[str, RowCheck]
) -> RowCheckResult:
    """Apply the checks in their order. A row that an error rejects is not checked any further.

    Args:
        name: name of the table.
        table: the rows, with the columns that `joins` adds.
        columns: the table's own columns, which are stored in quarantine.
        checks: the checks by name.

    """
    results, quarantine = [], [schema.QUARANTINE.empty_table()]
    for check_name, check in checks.items():
        if check.severity == "off":
            results.append(CheckResult.of(check_name, check, "off"))
            continue
        violations = check.find_violations(table)
        rows = table.take(pa.array(violations.rows))
        located = _locate(name, rows, violations)
        results.append(_result(check_name, check, located, violations.note))
        if check.severity == "error" and rows.num_rows:
            quarantine.append(_quarantine(check_name, located, violations.values, rows.select(columns.names)))
            is_accepted = np.ones(table.num_rows, bool)
            is_accepted[violations.rows] = False
            table = table.filter(pa.array(is_accepted))
    return RowCheckResult(table, pa.concat_tables(quarantine), results)


def describe_row(row: dict[str, Any]) -> str:
    """A row of `CheckResult.violations` as text.

    >>> position = {"table": "boxes", "row_number": 4, "row_id": 23}
    >>> image = {"split": "val", "image_id": 7, "file_name": "7.jpg"}
    >>> describe_row({**position, **image, "values": {"width": -3.0, "height": 28.25}})
    'boxes row 4, box 23 of 7.jpg in val: width -3, height 28.25'
    """
    name = row["file_name"] or f"image {row['image_id']}"
    image = f"{name} in {row['split']}"
    subject = f"box {row['row_id']} of {image}" if row["table"] == "boxes" else f"image {row['row_id']}, {image}"
    values = ", ".join(f"{column} {_format_value(value)}" for column, value in row["values"].items())
    return f"{row['table']} row {row['row_number']}, {subject}: {values}"


def _locate(name: TableName, rows: pa.Table, violations: Violations) -> pa.Table:
    """The position of each row, as in schema.QUARANTINE, and the offending values as a struct."""
    return pa.table(
        {
            "table": pa.repeat(name, rows.num_rows),
            "row_number": rows[ROW_NUMBER],
            "row_id": rows[ID_COLUMNS[name]],
            "split": rows["split"],
            "image_id": rows["image_id"],
            "file_name": rows["file_name"].cast(pa.string()),
            "values": violations.values.to_struct_array(),
        }
    )


def _result(name: str, check: RowCheck, located: pa.Table, note: str) -> CheckResult:
    status: Status = "passed" if not located.num_rows else "quarantined" if check.severity == "error" else "warned"
    examples = map(describe_row, located.slice(0, MAX_EXAMPLES).to_pylist())
    return CheckResult.of(name, check, status, located.num_rows, note, examples, located)


def _quarantine(reason: str, located: pa.Table, values: pa.Table, rows: pa.Table) -> pa.Table:
    content = {
        **{name: located[name] for name in ("table", "row_number", "row_id", "split", "image_id", "file_name")},
        "reason": pa.repeat(reason, located.num_rows),
        "values": _as_json(values),
        "row": _as_json(rows),
    }
    return pa.table([content[name] for name in schema.QUARANTINE.names], schema.QUARANTINE)


def _as_json(rows: pa.Table) -> pa.ChunkedArray:
    """Each row as a JSON object."""
    record = msgspec.defstruct("Record", rows.column_names, gc=False)
    encoder = msgspec.json.Encoder()
    chunks = []
    for start in range(0, rows.num_rows, CHUNK_ROWS):
        columns = map(_python_values, rows.slice(start, CHUNK_ROWS).columns)
        lines = encoder.encode_lines(map(record, *columns))  # JSON escapes line breaks inside strings
        chunks.append(pa.array(lines.splitlines(), pa.string()))
    return pa.chunked_array(chunks, pa.string())


def _python_values(column: pa.ChunkedArray) -> list[Any]:
    """The values; NaN and infinity as text, because JSON cannot express them."""
    values: list[Any] = column.to_numpy().tolist() if not column.null_count else column.to_pylist()
    if pa.types.is_floating(column.type) and not pc.all(pc.is_finite(column)).as_py():
        return [str(value) if isinstance(value, float) and not math.isfinite(value) else value for value in values]
    return values


def _format_value(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
