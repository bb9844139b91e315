"""Each check of whole datasets, with a scene that violates it and one that barely passes."""

from typing import Any

import pytest

from tests.support.scenes import box, image
from tests.support.validation_scene import BOXES, IMAGES, checked, checks, result_of, violation_counts

CAT, DOG = 2, 5


def boxes(cats_and_dogs_in_train: tuple[int, int], in_val: tuple[int, int]) -> list[dict[str, Any]]:
    """That many boxes of each class and split, all at different positions."""
    wanted = [(3, CAT), (3, DOG), (7, CAT), (7, DOG)]
    counts = (*cats_and_dogs_in_train, *in_val)
    pairs = [pair for pair, count in zip(wanted, counts, strict=True) for _ in range(count)]
    return [box(number, *pair, (5 * number, 5, 30, 40)) for number, pair in enumerate(pairs, 1)]


# check, a scene that violates it, its findings, a scene that barely passes
CASES: list[tuple[str, dict[str, Any], list[str], dict[str, Any]]] = [
    (
        "category_name_empty",
        {"categories": ("cat", " ")},
        ["category 5 has no name"],
        {"categories": ("cat", "d")},
    ),
    (
        "category_name_duplicated",
        {"categories": ("Dog", "dog ")},
        ["'dog' is the name of the categories 2, 5"],
        {"categories": ("Dog", "dogs")},
    ),
    (
        "class_without_boxes",
        {"boxes": boxes((2, 1), (1, 0))},
        ["dog has no box in val"],
        {"boxes": boxes((2, 1), (1, 1))},
    ),
    (
        "class_rare",
        {"boxes": boxes((4, 2), (1, 1)), "class_rare": {"min_boxes": 3}},
        ["dog has 2 boxes in train"],
        {"boxes": boxes((4, 3), (1, 1)), "class_rare": {"min_boxes": 3}},
    ),
    (
        "class_dominant",
        {"boxes": boxes((5, 1), (3, 1)), "class_dominant": {"max_fraction": 0.79}},
        ["cat is 80 % of the boxes"],
        {"boxes": boxes((5, 1), (3, 1)), "class_dominant": {"max_fraction": 0.8}},
    ),
    (
        "too_many_images_without_boxes",
        {"images": [*IMAGES, image(8), image(9)], "too_many_images_without_boxes": {"max_fraction": 0.66}},
        ["66.7 % of val"],
        {"images": [*IMAGES, image(8), image(9)], "too_many_images_without_boxes": {"max_fraction": 0.67}},
    ),
    (
        "too_many_small_boxes",  # one of five has a side below 2 pixels
        {"boxes": [*BOXES, box(7, 7, CAT, (9, 9, 400, 1.9))], "too_many_small_boxes": {"max_fraction": 0.19}},
        ["20 % of the boxes"],
        {"boxes": [*BOXES, box(7, 7, CAT, (9, 9, 400, 2))], "too_many_small_boxes": {"max_fraction": 0.19}},
    ),
    (
        "too_many_small_boxes",  # 0.0001 of the 273,280 pixels of the image are 27.3
        {"boxes": [*BOXES, box(7, 7, CAT, (9, 9, 2, 13.6))], "too_many_small_boxes": {"max_fraction": 0.19}},
        ["20 % of the boxes"],
        {"boxes": [*BOXES, box(7, 7, CAT, (9, 9, 2, 13.7))], "too_many_small_boxes": {"max_fraction": 0.19}},
    ),
]


@pytest.mark.parametrize(("name", "broken", "findings", "fine"), CASES, ids=[case[0] for case in CASES])
def test_scene_violates_exactly_one_check(
    name: str, broken: dict[str, Any], findings: list[str], fine: dict[str, Any]
) -> None:
    validation = checked(**broken)
    assert violation_counts(validation) == {name: len(findings)}
    assert list(result_of(validation, name).examples) == findings
    assert violation_counts(checked(**fine)) == {}


def test_every_dataset_check_is_tested_here() -> None:
    assert {case[0] for case in CASES} == set(checks().of_dataset())


def test_class_without_boxes_is_not_reported_as_rare() -> None:
    validation = checked(boxes=boxes((4, 0), (1, 0)), class_rare={"min_boxes": 3}, class_dominant={"max_fraction": 1.0})
    assert violation_counts(validation) == {"class_without_boxes": 2}


def test_crowds_do_not_count_as_objects() -> None:
    crowd = box(20, 7, DOG, (1, 2, 30, 40), is_crowd=True)
    assert violation_counts(checked(boxes=[*boxes((2, 1), (1, 0)), crowd])) == {"class_without_boxes": 1}
    assert violation_counts(
        checked(boxes=[*BOXES, crowd | {"width": 1.0}], too_many_small_boxes={"max_fraction": 0.0})
    ) == {"box_area_exceeds_box": 1}


def test_single_class_is_not_dominant() -> None:
    only_cats = [one | {"category_id": CAT} for one in BOXES]
    assert violation_counts(checked(boxes=only_cats, categories=("cat",))) == {}


def test_passed_checks_report_what_they_measured() -> None:
    validation = checked(boxes=boxes((5, 1), (3, 1)))
    measured = {name: result_of(validation, name).measured for name in checks().of_dataset()}
    assert measured == {
        "category_name_empty": "2 categories",
        "category_name_duplicated": "2 categories",
        "class_without_boxes": "2 categories in train, val",
        "class_rare": "dog has 1 box in train",
        "class_dominant": "cat is 80 % of the boxes",
        "too_many_images_without_boxes": "0 % of train, 0 % of val",
        "too_many_small_boxes": "0 % of the boxes",
    }


def test_error_of_whole_dataset_fails_it_and_quarantines_no_row() -> None:
    broken = {"boxes": boxes((2, 1), (1, 0))}
    validation = checked(**broken, class_without_boxes={"severity": "error"})
    assert result_of(validation, "class_without_boxes").status == "failed"
    assert validation.quarantine.num_rows == 0
    assert validation.failures() == ["class_without_boxes found 1, first: dog has no box in val"]
    assert checked(**broken).failures() == []
    assert result_of(checked(**broken), "class_without_boxes").status == "warned"
    off = checked(**broken, class_without_boxes={"severity": "off"})
    assert (result_of(off, "class_without_boxes").status, violation_counts(off)) == ("off", {})
