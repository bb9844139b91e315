"""Each check of rows, with a scene that violates this check only, and one that barely passes."""

import json
import math
from typing import Any

import pytest

from pipeline.validation.joins import KEY
from tests.support.scenes import box, image
from tests.support.validation_scene import BOXES, IMAGES, TRAIN, VAL, checked, checks, result_of, violation_counts

SPLITS = ("train", "val", "test")
FILE = f"{7:064x}"  # the checksum of the file of VAL


def and_image(**changes: Any) -> dict[str, Any]:
    return {"images": [*IMAGES, image(8) | changes]}


def and_file(split: str = "val", **found: Any) -> dict[str, Any]:
    return {"images": [*IMAGES, image(8, split)], "files": [found]}


def and_box(box_id: int, image_id: int, category_id: int, *xywh: float, **changes: Any) -> dict[str, Any]:
    return {"boxes": [*BOXES[:2], box(box_id, image_id, category_id, xywh) | changes, *BOXES[2:]]}


# check, a scene that violates it, the number of violations, a scene that barely passes
CASES: list[tuple[str, dict[str, Any], int, dict[str, Any]]] = [
    ("image_id_below_one", and_image(image_id=0), 1, and_image(image_id=1)),
    (
        "image_file_missing",
        and_file(sha256=None, thumbnail=None, width=None, height=None, problem="not in its archive"),
        1,
        and_file(),
    ),
    ("image_not_decodable", and_file(thumbnail=None, problem="cut off"), 1, and_file(thumbnail=bytes(256))),
    ("image_size_not_positive", and_image(height=0), 1, and_image(height=32)),
    ("image_size_differs", and_file(height=426), 1, and_file(height=427)),
    ("image_exif_rotated", and_file(orientation=6), 1, and_file(orientation=1)),
    ("image_tiny", and_image(width=31), 1, and_image(width=32)),
    ("image_duplicated_within_split", and_file(sha256=FILE), 1, and_file(sha256=f"{9:064x}")),
    ("image_duplicated_across_splits", and_file("train", sha256=FILE), 1, and_file("train", sha256=f"{9:064x}")),
    ("box_id_below_one", and_box(0, 7, 5, 1, 2, 3, 4), 1, and_box(2, 7, 5, 1, 2, 3, 4)),
    (
        "box_id_duplicated",
        {"boxes": [*BOXES, box(2, 7, 5, (1, 2, 3, 4)), box(2, 7, 2, (4, 3, 2, 1))]},
        2,
        {"boxes": [*BOXES, box(2, 7, 5, (1, 2, 3, 4)), box(2, 3, 2, (4, 3, 2, 1))]},  # another split
    ),
    ("box_image_unknown", and_box(2, 8, 5, 1, 2, 3, 4), 1, and_box(2, 7, 5, 1, 2, 3, 4)),
    ("box_category_unknown", and_box(2, 7, 4, 1, 2, 3, 4), 1, and_box(2, 7, 5, 1, 2, 3, 4)),
    ("box_not_finite", and_box(2, 7, 5, 1, math.nan, 3, 4), 1, and_box(2, 7, 5, 1, 2, 3, 4)),
    ("box_not_finite", and_box(2, 7, 5, 1, 2, 3, 4, area=math.inf), 1, and_box(2, 7, 5, 1, 2, 3, 4)),
    (
        "box_size_not_positive",
        and_box(2, 7, 5, 296.65, 388.33, 3.03, 0.0),
        1,
        and_box(2, 7, 5, 296.65, 388.33, 3.03, 2),
    ),
    ("box_size_not_positive", and_box(2, 7, 5, 1, 2, -3, 4), 1, and_box(2, 7, 5, 1, 2, 3, 4)),
    ("box_outside_image", and_box(2, 7, 5, -1.01, 2, 3, 4), 1, and_box(2, 7, 5, -1, 2, 3, 4)),
    ("box_outside_image", and_box(2, 7, 5, 1, -1.01, 3, 4), 1, and_box(2, 7, 5, 1, -1, 3, 4)),
    ("box_outside_image", and_box(2, 7, 5, 600, 2, 41.01, 4), 1, and_box(2, 7, 5, 600, 2, 41, 4)),
    ("box_outside_image", and_box(2, 7, 5, 1, 400, 3, 28.01), 1, and_box(2, 7, 5, 1, 400, 3, 28)),
    ("box_area_not_positive", and_box(2, 7, 5, 1, 2, 3, 4, area=0.0), 1, and_box(2, 7, 5, 1, 2, 3, 4, area=0.1)),
    ("box_area_exceeds_box", and_box(2, 7, 5, 1, 2, 30, 40, area=1213), 1, and_box(2, 7, 5, 1, 2, 30, 40, area=1212)),
    ("box_duplicated", and_box(2, 7, 5, 10.5, 20, 30, 40), 1, and_box(2, 7, 5, 10.5, 20, 30, 45)),
    ("box_duplicated", and_box(2, 7, 5, 10.5, 20, 30, 40), 1, and_box(2, 7, 5, 15, 20, 30, 40)),
    # The other box has 30 x 40 pixels: 40 / 44 is above 0.9, 36 / 40 is not.
    ("box_nearly_duplicated", and_box(2, 7, 5, 10.5, 20, 30, 44), 1, and_box(2, 7, 5, 10.5, 20, 30, 36)),
    ("box_nearly_duplicated", and_box(2, 7, 5, 10.5, 20, 30, 37), 1, and_box(2, 7, 5, 10.5, 20, 30, 37, is_crowd=True)),
    ("box_in_two_classes", and_box(2, 7, 2, 10.5, 20, 30, 40), 1, and_box(2, 7, 2, 10.5, 20, 30, 36)),
    ("box_in_two_classes", and_box(2, 7, 2, 10.5, 20, 30, 40), 1, and_box(2, 7, 2, 10.5, 20, 30, 40, is_crowd=True)),
]


@pytest.mark.parametrize(("name", "broken", "count", "fine"), CASES, ids=[case[0] for case in CASES])
def test_scene_violates_exactly_one_check(name: str, broken: dict[str, Any], count: int, fine: dict[str, Any]) -> None:
    assert violation_counts(checked(**broken)) == {name: count}
    assert violation_counts(checked(**fine)) == {}


def test_every_row_check_is_tested_here() -> None:
    known = checks().of_images() | checks().of_boxes()
    elsewhere = {"image_id_duplicated", "image_similar_across_splits", "outline_malformed", "box_differs_from_outline"}
    assert {case[0] for case in CASES} | elsewhere == set(known)


def test_all_images_with_a_duplicated_id_are_quarantined_and_name_each_other() -> None:
    copy = image(9) | {"file_name": "copy.jpg"}
    validation = checked([*IMAGES, image(9), copy, image(9, "train")], BOXES, files=[{"sha256": "a"}])
    assert violation_counts(validation) == {"image_id_duplicated": 2}
    assert validation.accepted.images.select(KEY).to_pylist() == [
        {"image_id": 7, "split": "val"},
        {"image_id": 3, "split": "train"},
        {"image_id": 9, "split": "train"},
    ]
    assert result_of(validation, "image_id_duplicated").examples == (
        "images row 3, image 9, 000000000009.jpg in val: image_id 9, same_id_in_row 4, same_id_in_file copy.jpg",
        "images row 4, image 9, copy.jpg in val: image_id 9, same_id_in_row 3, same_id_in_file 000000000009.jpg",
    )


def test_ids_that_start_again_in_each_split_violate_nothing() -> None:
    """As most exporters number them: an id is unique within its file."""
    images = [image(number, split) | {"file_name": f"{split}{number}.jpg"} for split in SPLITS for number in (1, 2)]
    boxes = [
        box(number, number, category, (5, 6, 7 + number, 8), split=split)
        for split in SPLITS
        for number, category in ((1, 2), (2, 5))
    ]
    validation = checked(images, boxes, files=[{"sha256": row["file_name"]} for row in images])
    assert violation_counts(validation) == {}
    assert validation.accepted.images.num_rows == validation.accepted.boxes.num_rows == 6


def test_box_of_an_image_of_another_split_is_quarantined() -> None:
    validation = checked(boxes=[*BOXES, box(2, 7, 5, (1, 2, 3, 4), split="train")])
    assert result_of(validation, "box_image_unknown").examples == (
        "boxes row 5, box 2 of image 7 in train: image_id 7",
    )


def test_boxes_of_quarantined_image_are_quarantined() -> None:
    validation = checked([VAL, TRAIN | {"width": 0}], files=[{"width": 0}])
    counts = violation_counts(validation)
    assert counts.pop("class_without_boxes") == 2  # of the training split, which is empty now
    assert counts == {"image_size_not_positive": 1, "image_quarantined": 2}
    assert validation.accepted.boxes["box_id"].to_pylist() == [1, 9]


def test_row_is_quarantined_once_by_the_first_violated_check() -> None:
    assert violation_counts(checked(boxes=[*BOXES, box(0, 8, 4, (math.nan, 2, -3, 4))])) == {"box_id_below_one": 1}


def test_first_of_equal_boxes_is_accepted() -> None:
    copies = [*BOXES, BOXES[2] | {"box_id": 2, "area": 1.0}, BOXES[2] | {"box_id": 5}]
    assert checked(boxes=copies).accepted.boxes.num_rows == 6
    validation = checked(boxes=copies, box_duplicated={"severity": "error"})
    assert validation.accepted.boxes["box_id"].to_pylist() == [1, 4, 9, 6]
    violations = result_of(validation, "box_duplicated").violations.to_pylist()
    assert [row["values"]["same_as_box"] for row in violations] == [9, 9]


def test_minus_zero_equals_zero() -> None:
    one, other = (box(box_id, 3, 2, (x, 0.0, 9, 8), split="train") for box_id, x in ((1, 0.0), (2, -0.0)))
    assert violation_counts(checked(boxes=[*BOXES[2:], one, other]))["box_duplicated"] == 1


def test_area_of_crowd_is_checked() -> None:
    """Its area is that of all its objects, which are inside the box."""
    assert violation_counts(checked(**and_box(2, 7, 5, 1, 2, 30, 40, is_crowd=True, area=1100))) == {}
    assert violation_counts(checked(**and_box(2, 7, 5, 1, 2, 30, 40, is_crowd=True, area=1300))) == {
        "box_area_exceeds_box": 1
    }


def test_duplicate_across_splits_quarantines_the_training_image() -> None:
    """Published scores refer to the held-out images, so these remain."""
    images = [image(7), image(4, "test"), image(3, "train", width=100, height=80), image(8, "train")]
    validation = checked(images, files=[{"sha256": f"{4:064x}"}], image_duplicated_across_splits={"severity": "error"})
    [row] = validation.quarantine.to_pylist()
    assert (row["row_number"], row["row_id"], row["reason"]) == (4, 8, "image_duplicated_across_splits")
    assert json.loads(row["values"]) == {"split": "train", "same_as": "000000000004.jpg", "same_as_split": "test"}


def test_unreadable_files_are_not_duplicates() -> None:
    nothing = {"sha256": None, "thumbnail": None, "problem": "not in its archive"}
    images = [*IMAGES, image(8), image(9), image(10, "train")]
    assert set(violation_counts(checked(images, files=[nothing] * 3))) == {"image_file_missing"}
