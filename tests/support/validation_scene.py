"""Tables that pass every check, for tests that change one thing. Two images, two classes, a box of each per image."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.core import schema
from pipeline.core.config import load_params, parse_config
from pipeline.datasets.annotations import Reading, Tables, categories_table
from pipeline.validation.base import CheckResult
from pipeline.validation.config import Checks, ValidateConfig
from pipeline.validation.run_checks import ValidationResult, run_checks
from tests.support.scenes import NO_ARCHIVES, box, boxes_table, files_of, image
from tests.support.tiny_project import PROJECT

Row = dict[str, Any]

VAL, TRAIN = image(7), image(3, "train", width=100, height=80)
IMAGES = [VAL, TRAIN]
BOXES = [
    box(1, 7, 5, (10.5, 20, 30, 40), split="val"),
    box(4, 3, 2, (0, 0, 100, 80), split="train"),
    box(9, 7, 2, (600, 400, 40, 27), split="val"),
    box(6, 3, 5, (5, 7, 30, 21), split="train"),
]

CHECK_PARAMS = load_params(PROJECT / "params.yaml").checks

# Thresholds that every small scene would violate. The tests of these checks set their own.
SMALL_SCENE_THRESHOLDS = {
    "class_rare": {"min_boxes": 1},
    "too_many_images_without_boxes": {"max_fraction": 0.75},
    "too_many_small_boxes": {"max_fraction": 0.5},
    "class_dominant": {"max_fraction": 0.75},
}


def checks(**changed: Row) -> Checks:
    """The checks of params.yaml, with keys changed by the name of the check."""
    changed = {
        name: SMALL_SCENE_THRESHOLDS.get(name, {}) | changed.get(name, {}) for name in SMALL_SCENE_THRESHOLDS | changed
    }
    return parse_config(
        CHECK_PARAMS | {name: CHECK_PARAMS[name] | keys for name, keys in changed.items()}, Checks, "checks"
    )


def checked(
    images: list[Row] | None = None,
    boxes: list[Row] | None = None,
    *,
    categories: tuple[str, ...] = ("cat", "dog"),
    files: Sequence[Row] = (),
    archives: Sequence[Row] = (),
    refused: Sequence[Row] = (),
    passed_over: Sequence[Row] = (),
    has_locations: bool = False,
    max_quarantined_fraction: float = 1.0,
    **changed: Row,
) -> ValidationResult:
    """Run the checks on the scene. `files` changes the files of the last images, `archives` are all archives.

    With `has_locations`, row 4 of the boxes comes from line 4 of boxes.csv, and row 2 of the images is 2.xml.
    """
    images, boxes = IMAGES if images is None else images, BOXES if boxes is None else boxes
    tables = tables_of(images, boxes, categories)
    file_rows = files_of(tables.images).to_pylist()
    for row, changes in zip(file_rows[len(file_rows) - len(files) :], files, strict=True):
        row |= changes
    config = ValidateConfig(max_quarantined_fraction=max_quarantined_fraction)
    return run_checks(
        Reading(
            tables,
            image_locations=locations(images if has_locations else [], "{}.xml", "file", 0),
            box_locations=locations(boxes if has_locations else [], "boxes.csv", "line", 1),
            refused=pa.Table.from_pylist(list(refused), schema.REFUSED),
            passed_over=pa.Table.from_pylist(list(passed_over), schema.PASSED_OVER),
        ),
        pa.Table.from_pylist(file_rows, schema.FILES),
        pa.Table.from_pylist(list(archives), schema.ARCHIVES),
        config,
        checks(**changed),
    )


def locations(rows: list[Row], file: str, element: str, step: int) -> pa.Table:
    """schema.LOCATIONS of rows of a table."""
    found = [
        {"file": file.format(number), "element": element, "number": step * number} for number in range(1, len(rows) + 1)
    ]
    return pa.Table.from_pylist(found, schema.LOCATIONS)


def validated(tables: Tables, max_quarantined_fraction: float = 1.0) -> ValidationResult:
    """Run the checks of params.yaml on any tables, with files that agree with the rows."""
    config = ValidateConfig(max_quarantined_fraction=max_quarantined_fraction)
    all_checks = parse_config(CHECK_PARAMS, Checks, "checks")
    return run_checks(Reading(tables), files_of(tables.images), NO_ARCHIVES, config, all_checks)


def tables_of(images: list[Row], boxes: list[Row], categories: Sequence[str] = ("cat", "dog")) -> Tables:
    ids = [2, 5, 8, 11][: len(categories)]
    return Tables(
        pa.Table.from_pylist(images, schema.IMAGES),
        boxes_table(images, boxes),
        categories_table(ids, list(categories), ["animal"] * len(ids)),
    )


def violation_counts(validation: ValidationResult) -> dict[str, int]:
    """The number of violations of each check that has any."""
    return {result.name: result.count for result in validation.results if result.count}


def result_of(validation: ValidationResult, name: str) -> CheckResult:
    [result] = [result for result in validation.results if result.name == name]
    return result
