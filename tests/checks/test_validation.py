import json
import math
from typing import Any

import pytest

from pipeline.checks.rules import BOX_RULES, IMAGE_RULES
from pipeline.checks.validation import Validate, Validation, require, validate
from pipeline.errors import BoxlineError
from tests.scenes import box, files_of, image, tables

GOOD_IMAGES = [image(7), image(3, "train", width=100, height=80)]
GOOD_BOXES = [box(1, 7, 5, (10.5, 20, 30, 40)), box(4, 3, 2, (0, 0, 100, 80)), box(9, 7, 2, (600, 400, 40, 27))]


def checked(images: list[dict[str, Any]], boxes: list[dict[str, Any]], **facts: object) -> Validation:
    """With `facts` of the last image's file."""
    given = tables(images, boxes)
    return validate(given, files_of(given.images, **facts))


def reasons(images: list[dict[str, Any]], boxes: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    quarantine = checked(images, boxes).quarantine.to_pylist()
    return [(row["table"], row["row_id"], row["reason"]) for row in quarantine]


def test_good_tables_pass_unchanged() -> None:
    given = tables(GOOD_IMAGES, GOOD_BOXES)
    validation = validate(given, files_of(given.images))
    assert validation.files.equals(files_of(given.images))
    assert validation.accepted.images.equals(given.images)
    assert validation.accepted.boxes.equals(given.boxes)
    assert validation.accepted.categories.to_pylist() == given.categories.to_pylist()
    assert validation.quarantine.num_rows == 0
    assert validation.report == {
        "images": 2,
        "boxes": 3,
        "categories": 2,
        "images_without_boxes": 0,
        "crowd_boxes": 0,
        "quarantined": 0,
        "quarantined_share": 0.0,
        "first": [],
        "reasons": {rule.name: 0 for rule in (*IMAGE_RULES, *BOX_RULES)},
    }


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(box(0, 7, 5, (1, 2, 3, 4)), "box_id_below_one", id="id 0 means no match to COCO tools"),
        pytest.param(box(2, 8, 5, (1, 2, 3, 4)), "image_unknown", id="unknown image"),
        pytest.param(box(2, 7, 4, (1, 2, 3, 4)), "category_unknown", id="a gap in the ids"),
        pytest.param(box(2, 7, 5, (1, math.nan, 3, 4)), "box_not_finite", id="NaN"),
        pytest.param(box(2, 7, 5, (1, 2, math.inf, 4)), "box_not_finite", id="infinite"),
        pytest.param(box(2, 7, 5, (1, 2, -3, 4)), "box_size_not_positive", id="negative width"),
        pytest.param(box(2, 7, 5, (296.65, 388.33, 1.03, 0.0)), "box_size_not_positive", id="zero height"),
        pytest.param(box(2, 7, 5, (-1.5, 2, 3, 4)), "box_outside_image", id="left"),
        pytest.param(box(2, 7, 5, (1, -1.5, 3, 4)), "box_outside_image", id="above"),
        pytest.param(box(2, 7, 5, (600, 2, 41.5, 4)), "box_outside_image", id="right"),
        pytest.param(box(2, 7, 5, (1, 400, 3, 28.5)), "box_outside_image", id="below"),
    ],
)
def test_a_bad_box_goes_to_quarantine_and_the_good_ones_stay(bad: dict[str, Any], reason: str) -> None:
    validation = checked(GOOD_IMAGES, [GOOD_BOXES[0], bad, *GOOD_BOXES[1:]])
    assert validation.accepted.boxes["box_id"].to_pylist() == [1, 4, 9]
    [row] = validation.quarantine.to_pylist()
    assert (row["table"], row["row_id"], row["image_id"]) == ("boxes", bad["box_id"], bad["image_id"])
    assert row["reason"] == reason
    # NaN and infinity have no word in JSON and stand there as text
    assert float(json.loads(row["row"])["width"]) == bad["width"]
    assert validation.report["quarantined"] == 1
    assert validation.report["first"] == [f"boxes {bad['box_id']}: {reason}"]
    assert validation.report["reasons"][reason] == 1
    assert validation.report["quarantined_share"] == pytest.approx(1 / 6)


def test_a_box_may_end_a_rounding_error_outside() -> None:
    assert reasons(GOOD_IMAGES, [*GOOD_BOXES, box(2, 7, 5, (-0.5, 2, 641, 425.9))]) == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param({**image(0)}, "image_id_below_one", id="id 0"),
        pytest.param({**image(8), "height": 0}, "image_size_not_positive", id="no height"),
    ],
)
def test_a_bad_image_takes_its_boxes_with_it(bad: dict[str, Any], reason: str) -> None:
    image_id = bad["image_id"]
    assert reasons([*GOOD_IMAGES, bad], [*GOOD_BOXES, box(2, image_id, 5, (1, 2, 3, 4))]) == [
        ("images", image_id, reason),
        ("boxes", 2, "image_unknown"),
    ]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        pytest.param({"sha256": None, "problem": "not in its archive"}, "image_file_missing", id="not in its archive"),
        pytest.param({"thumbnail": None, "problem": "cut off"}, "image_not_decodable", id="cut off"),
        pytest.param({"width": 427, "height": 640}, "image_size_differs", id="turned"),
    ],
)
def test_a_bad_file_takes_its_image_with_it(facts: dict[str, object], reason: str) -> None:
    validation = checked([*GOOD_IMAGES, image(8)], GOOD_BOXES, **facts)
    assert [(row["row_id"], row["reason"]) for row in validation.quarantine.to_pylist()] == [(8, reason)]
    assert validation.files["image_id"].to_pylist() == [7, 3]


def test_of_rows_with_one_id_none_is_taken_for_the_right_one() -> None:
    assert reasons([*GOOD_IMAGES, image(9), image(9)], [*GOOD_BOXES, box(4, 7, 5, (1, 2, 3, 4))]) == [
        ("images", 9, "image_id_duplicated"),
        ("images", 9, "image_id_duplicated"),
        ("boxes", 4, "box_id_duplicated"),
        ("boxes", 4, "box_id_duplicated"),
    ]


def test_empty_images_and_crowds_are_counted() -> None:
    report = checked([*GOOD_IMAGES, image(8)], [*GOOD_BOXES, box(2, 7, 5, (1, 2, 3, 4), is_crowd=True)]).report
    assert (report["images_without_boxes"], report["crowd_boxes"]) == (1, 1)


def test_too_much_in_quarantine_fails_with_the_reasons() -> None:
    validation = checked(GOOD_IMAGES, [*GOOD_BOXES, box(2, 7, 5, (1, 2, -3, 4))])
    require(validation, Validate(max_quarantined_share=1 / 6), "report.json")
    with pytest.raises(BoxlineError) as raised:
        require(validation, Validate(max_quarantined_share=0.1), "report.json")
    assert str(raised.value) == (
        "1 rows (16.67%) failed the checks {'box_size_not_positive': 1}, allowed are 10.00%. "
        "First: boxes 2: box_size_not_positive. See report.json; "
        "correct the data, or raise validate.max_quarantined_share in params.yaml."
    )


@pytest.mark.parametrize(("images", "missing"), [([], "images"), (GOOD_IMAGES, "boxes")])
def test_nothing_left_fails(images: list[dict[str, Any]], missing: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        require(checked(images, []), Validate(max_quarantined_share=1), "report.json")
    assert str(raised.value) == f"No {missing} passed the checks; see report.json."
