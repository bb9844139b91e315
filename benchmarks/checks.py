"""All checks of COCO-size tables, compared with loops over rows for some of them."""

import hashlib
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.processes import compare
from pipeline.core import schema
from pipeline.core.config import load_params
from pipeline.core.parquet import FILES, read_table, write_table
from pipeline.datasets.annotations import Reading, Tables
from pipeline.datasets.coco.reader import CocoReader
from pipeline.validation.config import parse_checks
from pipeline.validation.run_checks import ValidationResult, run_checks

ROUNDS = 3
COARSE_SIDE, SIDE = 4, 16


def checks_benchmark(folder: Path) -> dict[str, float]:
    """Compare loops and checks, on annotations that `write_annotations` wrote to `folder` and random thumbnails."""
    tables = CocoReader().read(folder)
    tables.write(folder / "tables")
    write_table(folder / FILES, _files(tables.images), schema.FILES)
    return compare("benchmarks.checks", "loop_over_rows", "check_valid_tables", folder, ROUNDS)


def quarantine_benchmark(folder: Path) -> dict[str, float]:
    """The cost of rejecting every box, on the tables that `checks_benchmark` wrote to `folder`."""
    tables = Tables.read(folder / "tables")
    negated = tables.boxes.set_column(
        tables.boxes.column_names.index("width"), schema.BOXES.field("width"), pc.negate(tables.boxes["width"])
    )
    replace(tables, boxes=negated).write(folder / "invalid")
    return compare("benchmarks.checks", "check_invalid_tables", "check_valid_tables", folder, ROUNDS)


def check_valid_tables(folder: Path) -> None:
    """Run every check of params.yaml as the stage `validate` does: rows, classes, similar images."""
    validation = _validated(folder, "tables")
    if validation.quarantine.num_rows:
        raise ValueError(f"synthetic rows were rejected: {validation.failures()}")


def check_invalid_tables(folder: Path) -> None:
    """The same with every box in quarantine, which stores each row as JSON."""
    validation = _validated(folder, "invalid")
    if validation.accepted.boxes.num_rows:
        raise ValueError(f"synthetic rows were accepted: {validation.statistics.format_counts()}")


def _validated(folder: Path, tables: str) -> ValidationResult:
    limits, checks = parse_checks(load_params(), "coco")
    files, archives = read_table(folder / FILES, schema.FILES), schema.ARCHIVES.empty_table()
    return run_checks(Reading(Tables.read(folder / tables)), files, archives, limits, checks)


def loop_over_rows(folder: Path) -> None:
    """Check rows with Python loops: keys, known ids, finite and positive numbers, inside the image, duplicates."""
    tables = Tables.read(folder / "tables")
    images = {(row["split"], row["image_id"]): row for row in tables.images.to_pylist()}
    categories = {row["category_id"] for row in tables.categories.to_pylist()}
    boxes = tables.boxes.to_pylist()
    ids = Counter((box["split"], box["box_id"]) for box in boxes)
    seen: set[tuple[Any, ...]] = set()
    invalid = [box for box in boxes if not _is_valid(box, images, categories, ids) or _is_duplicate(box, seen)]
    if invalid:
        raise ValueError(f"synthetic rows were rejected: {invalid[0]}")


def _is_valid(box: dict[str, Any], images: dict[Any, Any], categories: set[int], ids: Counter[Any]) -> bool:
    image = images.get((box["split"], box["image_id"]))
    return (
        image is not None
        and box["box_id"] >= 1
        and ids[box["split"], box["box_id"]] == 1
        and box["category_id"] in categories
        and all(math.isfinite(box[name]) for name in ("x", "y", "width", "height", "area"))
        and box["width"] > 0
        and box["height"] > 0
        and min(box["x"], box["y"]) >= -1
        and box["x"] + box["width"] <= image["width"] + 1
        and box["y"] + box["height"] <= image["height"] + 1
        and 0 < box["area"] <= 1.01 * box["width"] * box["height"]
    )


def _is_duplicate(box: dict[str, Any], seen: set[tuple[Any, ...]]) -> bool:
    key = (box["split"], box["image_id"], box["category_id"], box["x"], box["y"], box["width"], box["height"])
    if key in seen:
        return True
    seen.add(key)
    return False


def _files(images: pa.Table) -> pa.Table:
    """The output of `inspect` for distinct files, with thumbnails of soft clouds and grain."""
    count = images.num_rows
    random = np.random.default_rng(2017)
    clouds = random.integers(20, 236, (count, COARSE_SIDE, COARSE_SIDE)).repeat(SIDE // COARSE_SIDE, axis=1)
    thumbnails = (clouds.repeat(SIDE // COARSE_SIDE, axis=2) + random.integers(-20, 21, (count, SIDE, SIDE))).astype(
        np.uint8
    )
    columns = {
        "image_id": images["image_id"],
        "split": images["split"],
        "sha256": [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)],
        "size_bytes": np.full(count, 160_000),
        "format": ["JPEG"] * count,
        "mode": ["RGB"] * count,
        "width": images["width"],
        "height": images["height"],
        "orientation": np.ones(count, np.int8),
        "thumbnail": [thumbnail.tobytes() for thumbnail in thumbnails],
        "problem": [None] * count,
    }
    arrays = [
        column.combine_chunks() if isinstance(column, pa.ChunkedArray) else pa.array(column, field.type)
        for field, column in zip(schema.FILES, columns.values(), strict=True)
    ]
    return pa.table(arrays, schema=schema.FILES)
