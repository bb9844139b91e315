import contextlib
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.parquet import read_table, write_table

ROWS = [{"category_id": 7, "class_index": 0, "name": "star", "supercategory": "angular"}]


def test_values_schema_and_units_are_kept(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS, schema.CATEGORIES)
    write_table(tmp_path / "categories.parquet", table, schema.CATEGORIES)
    back = read_table(tmp_path / "categories.parquet", schema.CATEGORIES)
    assert back.to_pylist() == ROWS
    assert back.schema.field("class_index").metadata[b"meaning"].startswith(b"from 0, without gaps")


def test_schema_mismatch_names_columns(tmp_path: Path) -> None:
    path = tmp_path / "categories.parquet"
    required = [schema.CATEGORIES.field(name) for name in ("category_id", "name")]
    columns = [pa.array([7], pa.int32()), pa.array(["star"]), pa.array([7]), pa.array([""])]
    fields = [*required, pa.field("class_index", pa.int64(), nullable=False), pa.field("kind", pa.string())]
    pq.write_table(pa.table(columns, pa.schema(fields)), path)
    with pytest.raises(BoxlineError) as raised:
        read_table(path, schema.CATEGORIES)
    assert str(raised.value) == (
        f"{path}: column supercategory is missing; column kind is unknown; column class_index is int64, "
        "expected int32. It was written by another version of Boxline: delete it and run `dvc repro`."
    )


@pytest.mark.parametrize(
    ("metadata", "received"),
    [({"unit": "share of the image"}, "double in share of the image"), (None, "double")],
    ids=["another unit", "no unit"],
)
def test_column_in_another_unit_is_rejected(tmp_path: Path, metadata: dict[str, str] | None, received: str) -> None:
    path = tmp_path / "boxes.parquet"
    x = schema.BOXES.get_field_index("x")
    pq.write_table(schema.BOXES.set(x, schema.BOXES.field("x").with_metadata(metadata)).empty_table(), path)
    with pytest.raises(BoxlineError) as raised:
        read_table(path, schema.BOXES)
    assert str(raised.value) == (
        f"{path}: column x is {received}, expected double in px. It was written by another version of Boxline: "
        "delete it and run `dvc repro`."
    )


def test_columns_in_another_order_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "categories.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS, schema.CATEGORIES).select(schema.CATEGORIES.names[::-1]), path)
    with pytest.raises(
        BoxlineError, match=r"columns are ordered \['supercategory', 'name', 'class_index', 'category_id'"
    ):
        read_table(path, schema.CATEGORIES)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 10_000))
def test_corrupt_table_is_read_or_rejected(changes: list[tuple[int, int]], length: int) -> None:
    """Errors of Arrow become a BoxlineError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "categories.parquet"
        write_table(path, pa.Table.from_pylist(ROWS * 50, schema.CATEGORIES), schema.CATEGORIES)
        content = bytearray(path.read_bytes())
        for position, value in changes:
            content[position % len(content)] = value
        path.write_bytes(content[: max(length, 200)])
        with contextlib.suppress(BoxlineError):
            read_table(path, schema.CATEGORIES)


def test_missing_table_is_reported_with_command(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        read_table(tmp_path / "boxes.parquet", schema.BOXES)
    assert str(raised.value) == f"{tmp_path}/boxes.parquet not found. `dvc repro` builds it."


def test_file_that_is_not_parquet_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "boxes.parquet"
    path.write_text("<html>")
    with pytest.raises(BoxlineError) as raised:
        read_table(path, schema.BOXES)
    assert str(raised.value).startswith(f"{path} is not a Parquet table (")


def test_null_in_required_column_is_not_written(tmp_path: Path) -> None:
    table = pa.table({field.name: pa.array([None], field.type) for field in schema.BOXES})
    with pytest.raises(ValueError, match="Casting field 'box_id' with null values to non-nullable"):
        write_table(tmp_path / "boxes.parquet", table, schema.BOXES)
    assert list(tmp_path.iterdir()) == []
