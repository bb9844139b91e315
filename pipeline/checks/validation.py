"""The tables, checked: what passes goes on, what fails goes to quarantine with its reason."""

import json
import logging
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema
from pipeline.checks.rules import BOX_RULES, IMAGE_RULES, Context, Rule
from pipeline.datasets.tables import Tables
from pipeline.errors import BoxlineError
from pipeline.params import Section, Share

logger = logging.getLogger(__name__)

FIRST_ROWS = 10
"""How many refused rows the report names; quarantine.parquet has them all."""


class Validate(Section, frozen=True):
    """How much may fail. max_quarantined_share: of the rows of images and boxes together, 0..1."""

    max_quarantined_share: Share


@dataclass(frozen=True)
class Validation:
    """What passed, with its files (schema.FILES), what did not (schema.QUARANTINE), and the counts for the report."""

    accepted: Tables
    files: pa.Table
    quarantine: pa.Table
    report: dict[str, Any]


def validate(tables: Tables, files: pa.Table) -> Validation:
    """Run every rule; `files` (schema.FILES) says what `inspect` found.

    A row is refused by the first rule that it breaks; a refused image takes its boxes with it.
    """
    images, refused_images = _sift(tables.images, IMAGE_RULES, Context(tables, files))
    known_images = Tables(images, tables.boxes, tables.categories)
    boxes, refused_boxes = _sift(tables.boxes, BOX_RULES, Context(known_images, files))
    quarantine = pa.concat_tables(
        [_quarantined("images", "image_id", refused_images), _quarantined("boxes", "box_id", refused_boxes)]
    )
    reasons = Counter(quarantine["reason"].to_pylist())
    report = {
        "images": images.num_rows,
        "boxes": boxes.num_rows,
        "categories": tables.categories.num_rows,
        "images_without_boxes": images.num_rows - len(pc.unique(boxes["image_id"])),
        "crowd_boxes": pc.sum(boxes["is_crowd"].cast(pa.int64())).as_py() or 0,
        "quarantined": quarantine.num_rows,
        "quarantined_share": quarantine.num_rows / max(1, tables.images.num_rows + tables.boxes.num_rows),
        "first": [
            f"{row['table']} {row['row_id']}: {row['reason']}" for row in quarantine.slice(0, FIRST_ROWS).to_pylist()
        ],
        "reasons": {rule.name: reasons.get(rule.name, 0) for rule in (*IMAGE_RULES, *BOX_RULES)},
    }
    accepted_files = files.filter(pc.is_in(files["image_id"], value_set=images["image_id"].combine_chunks()))
    return Validation(Tables(images, boxes, tables.categories), accepted_files, quarantine, report)


def require(validation: Validation, limits: Validate, report_path: object) -> None:
    """Raise BoxlineError where too much was refused or nothing is left; log one line otherwise."""
    report = validation.report
    if not report["images"] or not report["boxes"]:
        raise BoxlineError(f"No {'boxes' if report['images'] else 'images'} passed the checks; see {report_path}.")
    if report["quarantined_share"] > limits.max_quarantined_share:
        worst = {name: count for name, count in report["reasons"].items() if count}
        raise BoxlineError(
            f"{report['quarantined']} rows ({report['quarantined_share']:.2%}) failed the checks {worst}, "
            f"allowed are {limits.max_quarantined_share:.2%}. First: {'; '.join(report['first'][:3])}. "
            f"See {report_path}; correct the data, or raise "
            "validate.max_quarantined_share in params.yaml."
        )
    logger.info(
        "accepted %d images and %d boxes, %d rows quarantined", report["images"], report["boxes"], report["quarantined"]
    )


def _sift(table: pa.Table, rules: list[Rule], context: Context) -> tuple[pa.Table, list[tuple[str, pa.Table]]]:
    """The rows that break no rule, and per rule the rows that it refused."""
    refused = []
    for rule in rules:
        broken = rule.broken(table, context)
        refused.append((rule.name, table.filter(broken)))
        table = table.filter(pc.invert(broken))
    return table, refused


def _quarantined(name: str, key: str, refused: list[tuple[str, pa.Table]]) -> pa.Table:
    rows = [
        {
            "table": name,
            "row_id": row[key],
            "image_id": row["image_id"],
            "reason": reason,
            "row": json.dumps({name: _finite(value) for name, value in row.items()}, allow_nan=False),
        }
        for reason, table in refused
        for row in table.to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema.QUARANTINE)


def _finite(value: object) -> object:
    """NaN and infinity as text, since JSON has no word for them."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
