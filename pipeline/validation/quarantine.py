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
from pipeline.core.errors import BoxlineError
from pipeline.validation.base import MAX_EXAMPLES, Check, CheckResult, RowCheck, Status, Violations
from pipeline.validation.joins import ROW_NUMBER

TableName = Literal["images", "boxes"]

ID_COLUMNS: dict[TableName, str] = {"images": "image_id", "boxes": "box_id"}

ANNOTATION_REFUSED = "annotation_refused"
"""Reason for the quarantine of what could not become a row."""

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


class AnnotationRefused(Check):
    """A line or element of an annotation file that cannot become an image or a box.

    It is not in params.yaml and cannot be switched off: there is no row to use.
    """


def quarantine_refused(refused: pa.Table) -> tuple[pa.Table, CheckResult]:
    """Quarantine what a reader refused.

    Args:
        refused: schema.REFUSED.

    Returns:
        schema.QUARANTINE, and the result of the check AnnotationRefused.

    """
    unknown = pa.nulls(refused.num_rows, pa.int64())
    located = pa.table(
        {
            "table": pa.repeat("refused", refused.num_rows),
            **dict.fromkeys(("row_number", "row_id", "image_id"), unknown),
            **{name: refused[name] for name in ("split", "file_name", *schema.LOCATIONS.names)},
            "values": refused.select(["reason"]).to_struct_array(),
        }
    )
    result = _result(ANNOTATION_REFUSED, AnnotationRefused(severity="error"), located, "")
    return _quarantine(ANNOTATION_REFUSED, located, refused.select(["reason"]), None), result


def apply_row_checks(
    name: TableName, table: pa.Table, locations: pa.Table, columns: pa.Schema, checks: Mapping[str, RowCheck]
) -> RowCheckResult:
    """Apply the checks in their order. A row that an error rejects is not checked any further.

    Args:
        name: name of the table.
        table: the rows, with the columns that `joins` adds.
        locations: schema.LOCATIONS of all rows; no rows if they are unknown.
        columns: the table's own columns, which are stored in quarantine.
        checks: the checks by name.

    Raises:
        BoxlineError: if the locations are those of another table.

    """
    if locations.num_rows not in (0, table.num_rows):
        raise BoxlineError(
            f"the locations of {name} have {locations.num_rows} rows, expected {table.num_rows}, as {name} have. "
            "Run `dvc repro --force tables` to write both again."
        )
    results, quarantine = [], [schema.QUARANTINE.empty_table()]
    for check_name, check in checks.items():
        if check.severity == "off":
            results.append(CheckResult.of(check_name, check, "off"))
            continue
        violations = check.find_violations(table)
        rows = table.take(pa.array(violations.rows))
        located = _locate(name, rows, locations, violations)
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
    >>> location = {"file": "labels/7.xml", "element": "object", "number": 2}
    >>> describe_row({**position, **image, **location, "values": {"width": -3.0, "height": 28.25}})
    'labels/7.xml, object 2 (box 23 of 7.jpg in val): width -3, height 28.25'
    >>> describe_row({**location, "table": "refused", "values": {"reason": "received x, expected a number"}})
    'labels/7.xml, object 2: received x, expected a number'
    """
    file, element, number = (row.get(name) for name in schema.LOCATIONS.names)
    place = f"{file}, {element} {number}" if number else file
    if row["table"] == "refused":
        return f"{place}: {row['values']['reason']}"
    name = row["file_name"] or f"image {row['image_id']}"
    image = f"{name} in {row['split']}"
    subject = f"box {row['row_id']} of {image}" if row["table"] == "boxes" else f"image {row['row_id']}, {image}"
    values = ", ".join(f"{column} {_format_value(value)}" for column, value in row["values"].items() if value != "")
    position = f"{row['table']} row {row['row_number']}, {subject}" if place is None else f"{place} ({subject})"
    return f"{position}: {values}"


def _locate(name: TableName, rows: pa.Table, locations: pa.Table, violations: Violations) -> pa.Table:
    """The position of each row, as in schema.QUARANTINE, and the offending values as a struct."""
    if locations.num_rows:
        places = locations.take(pc.subtract(rows[ROW_NUMBER], 1))
    else:
        places = pa.table([pa.nulls(rows.num_rows, field.type) for field in schema.LOCATIONS], schema.LOCATIONS.names)
    place_columns = {name: places[name].cast(schema.QUARANTINE.field(name).type) for name in schema.LOCATIONS.names}
    return pa.table(
        {
            "table": pa.repeat(name, rows.num_rows),
            "row_number": rows[ROW_NUMBER],
            "row_id": rows[ID_COLUMNS[name]],
            "split": rows["split"],
            "image_id": rows["image_id"],
            "file_name": rows["file_name"].cast(pa.string()),
            **place_columns,
            "values": violations.values.to_struct_array(),
        }
    )


def _result(name: str, check: Check, located: pa.Table, note: str) -> CheckResult:
    status: Status = "passed" if not located.num_rows else "quarantined" if check.severity == "error" else "warned"
    examples = map(describe_row, located.slice(0, MAX_EXAMPLES).to_pylist())
    return CheckResult.of(name, check, status, located.num_rows, note, examples, located)


def _quarantine(reason: str, located: pa.Table, values: pa.Table, rows: pa.Table | None) -> pa.Table:
    """Rows of schema.QUARANTINE; `rows` is None if there are no rows of a table."""
    content = {
        **{name: located[name] for name in located.column_names if name != "values"},
        "reason": pa.repeat(reason, located.num_rows),
        "values": _as_json(values),
        "row": pa.nulls(located.num_rows, pa.string()) if rows is None else _as_json(rows),
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
