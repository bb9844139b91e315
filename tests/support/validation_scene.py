"""Tables that pass every check, to be broken in one place. Two images, two classes, one box of each in each image."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.core import schema
from pipeline.core.config import load_params, parse_config
from pipeline.datasets.annotations import Tables, categories_table
from pipeline.validation.config import Checks, ValidateConfig
from pipeline.validation.outcome import Outcome
from pipeline.validation.run import Validation, validate
from tests.support.scenes import box, files_of, image
from tests.support.tiny_project import PROJECT

Row = dict[str, Any]

VAL, TRAIN = image(7), image(3, "train", width=100, height=80)
IMAGES = [VAL, TRAIN]
BOXES = [
    box(1, 7, 5, (10.5, 20, 30, 40)),
    box(4, 3, 2, (0, 0, 100, 80)),
    box(9, 7, 2, (600, 400, 40, 27)),
    box(6, 3, 5, (5, 7, 30, 21)),
]

SHARED = load_params(PROJECT / "params.yaml").checks

# What would speak up in every small scene. The tests of these checks set their own.
SMALL_SCENE = {
    "class_rare": {"min_boxes": 1},
    "too_many_images_without_boxes": {"max_fraction": 0.75},
    "too_many_small_boxes": {"max_fraction": 0.5},
    "class_dominant": {"max_fraction": 0.75},
}


def checks(**changed: Row) -> Checks:
    """Those of params.yaml, with keys changed by name."""
    changed = {name: SMALL_SCENE.get(name, {}) | changed.get(name, {}) for name in SMALL_SCENE | changed}
    return parse_config(SHARED | {name: SHARED[name] | keys for name, keys in changed.items()}, Checks, "checks")


def checked(
    images: list[Row] | None = None,
    boxes: list[Row] | None = None,
    *,
    categories: tuple[str, ...] = ("cat", "dog"),
    files: Sequence[Row] = (),
    allowed: float = 1.0,
    **changed: Row,
) -> Validation:
    """The checks over that scene. `files` changes what `inspect` found of so many last images."""
    images, boxes = IMAGES if images is None else images, BOXES if boxes is None else boxes
    tables = tables_of(images, boxes, categories)
    facts = files_of(tables.images).to_pylist()
    for row, changes in zip(facts[len(facts) - len(files) :], files, strict=True):
        row |= changes
    limits = ValidateConfig(max_quarantined_fraction=allowed)
    return validate(tables, pa.Table.from_pylist(facts, schema.FILES), limits, checks(**changed))


def validated(tables: Tables, allowed: float = 1.0) -> Validation:
    """The checks of params.yaml over any tables whose files are as the rows say."""
    limits = ValidateConfig(max_quarantined_fraction=allowed)
    return validate(tables, files_of(tables.images), limits, parse_config(SHARED, Checks, "checks"))


def tables_of(images: list[Row], boxes: list[Row], categories: Sequence[str] = ("cat", "dog")) -> Tables:
    ids = [2, 5, 8, 11][: len(categories)]
    return Tables(
        pa.Table.from_pylist(images, schema.IMAGES),
        pa.Table.from_pylist(boxes, schema.BOXES),
        categories_table(ids, list(categories), ["animal"] * len(ids)),
    )


def found(validation: Validation) -> dict[str, int]:
    """By check how much it found, where it found something."""
    return {outcome.name: outcome.count for outcome in validation.outcomes if outcome.count}


def outcome(validation: Validation, name: str) -> Outcome:
    [one] = [one for one in validation.outcomes if one.name == name]
    return one
