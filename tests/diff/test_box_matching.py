"""Matching of boxes in an image of 640 x 427; category 2 is a cat and 5 a dog."""

from typing import Any

import numpy as np
import pytest

from pipeline.diff import box_matching as module
from pipeline.diff.difference import compare
from pipeline.diff.row_matching import Changes
from tests.support.diff_snapshots import kinds, pairs, snapshot
from tests.support.scenes import box, image

CAT, DOG = 2, 5
AT = (10.5, 20, 30, 40)
AWAY = (400, 300, 20, 10)


def box_changes(before: list[dict[str, Any]], after: list[dict[str, Any]], images: tuple[int, ...] = (7,)) -> Changes:
    rows = [image(image_id) for image_id in images]
    return compare(snapshot(rows, before), snapshot(rows, after)).boxes


def test_other_ids_and_other_order_are_no_change() -> None:
    before = [box(1, 7, CAT, AT), box(2, 7, DOG, AWAY), box(3, 7, CAT, AT)]
    after = [box(9, 7, DOG, AWAY), box(3, 7, CAT, AT), box(8, 7, CAT, AT)]
    changes = box_changes(before, after)
    assert kinds(changes) == {}
    assert (changes.before.tolist(), changes.after.tolist()) == ([0, 1, 2], [1, 0, 2])


def test_one_of_equal_boxes_may_be_added() -> None:
    one, two = [box(1, 7, CAT, AT)], [box(1, 7, CAT, AT), box(2, 7, CAT, AT)]
    assert kinds(box_changes(one, two)) == {"added": 1}
    assert kinds(box_changes(two, one)) == {"removed": 1}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(box(4, 7, DOG, AT), {"class": 1}, id="another class"),
        pytest.param(box(4, 7, CAT, AT, is_crowd=True), {"crowd": 1}, id="a crowd"),
        pytest.param({**box(4, 7, CAT, AT), "area": 900.0}, {"area": 1}, id="another area in the same box"),
        # 25 of 30 columns are shared: 25 / (30 + 30 - 25) = 0.714
        pytest.param(box(4, 7, CAT, (15.5, 20, 30, 40)), {"moved": 1}, id="moved; the changed area is implied"),
        pytest.param(box(4, 7, CAT, (10.5, 20, 30, 40.001)), {"moved": 1}, id="a thousandth of a pixel is a change"),
        pytest.param(box(4, 7, DOG, (15.5, 20, 30, 40)), {"moved": 1, "class": 1}, id="moved and relabeled"),
        # half of it is left: IoU 0.5
        pytest.param(box(4, 7, CAT, (10.5, 20, 15, 40)), {"moved": 1}, id="an IoU of 0.5 is enough"),
        # 14.9 / 30
        pytest.param(box(4, 7, CAT, (10.5, 20, 14.9, 40)), {"added": 1, "removed": 1}, id="less is another box"),
        pytest.param(box(4, 7, CAT, (0.0, -0.0, 1, 1)), {"added": 1, "removed": 1}, id="elsewhere"),
    ],
)
def test_changed_box_is_matched(after: dict[str, Any], expected: dict[str, int]) -> None:
    changes = box_changes([box(1, 7, CAT, AT)], [after])
    assert kinds(changes) == expected
    assert kinds(box_changes([after], [box(1, 7, CAT, AT)])) == expected


def test_negative_zero_equals_zero() -> None:
    assert kinds(box_changes([box(1, 7, CAT, (0.0, 0.0, 3, 4))], [box(1, 7, CAT, (-0.0, 0.0, 3, 4))])) == {}


def test_boxes_are_matched_within_an_image() -> None:
    assert kinds(box_changes([box(1, 7, CAT, AT)], [box(1, 8, CAT, AT)], images=(7, 8))) == {"added": 1, "removed": 1}


def test_equal_coordinates_take_precedence_over_equal_class() -> None:
    """A cat became a dog; the cat that was added next to it has an IoU of 0.714 but is not the same cat, moved."""
    changes = box_changes([box(1, 7, CAT, AT)], [box(2, 7, CAT, (15.5, 20, 30, 40)), box(3, 7, DOG, AT)])
    assert pairs(changes, "class") == {(0, 1)}
    assert pairs(changes, "added") == {(-1, 0)}


def test_boxes_with_equal_coordinates_are_matched_by_class() -> None:
    changes = box_changes([box(1, 7, DOG, AT)], [box(2, 7, CAT, AT), box(3, 7, DOG, AT, is_crowd=True)])
    assert pairs(changes, "crowd") == {(0, 1)}
    assert kinds(changes) == {"crowd": 1, "added": 1}


def test_class_names_break_ties() -> None:
    rows, classes = [image(7)], {2: "cat", 5: "dog", 9: "owl"}
    cat, dog, owl = box(1, 7, CAT, AT), box(2, 7, DOG, AT), box(3, 7, 9, AT)
    one, other = snapshot(rows, [cat, dog], classes=classes), snapshot(rows, [dog, cat], classes=classes)
    after = snapshot(rows, [owl], classes=classes)
    assert pairs(compare(one, after).boxes, "class") == {(0, 0)}
    assert pairs(compare(other, after).boxes, "class") == {(1, 0)}
    assert pairs(compare(after, other).boxes, "class") == {(0, 1)}


def test_equal_class_takes_precedence_over_higher_iou() -> None:
    # With the cat it shares 25 of 35 columns, with the dog 29 of 31.
    changes = box_changes(
        [box(1, 7, CAT, AT)], [box(2, 7, DOG, (11.5, 20, 30, 40)), box(3, 7, CAT, (15.5, 20, 30, 40))]
    )
    assert pairs(changes, "moved") == {(0, 1)}
    assert pairs(changes, "added") == {(-1, 0)}


def test_highest_iou_is_matched_first_and_each_box_once() -> None:
    before = [box(1, 7, CAT, (0, 0, 10, 30)), box(2, 7, CAT, (2, 0, 10, 30))]
    after = [box(3, 7, CAT, (1.5, 0, 10, 30)), box(4, 7, CAT, (4, 0, 10, 30))]
    # 0 with 0: 8.5 / 11.5 = 0.739, 1 with 0: 9.5 / 10.5 = 0.905, 0 with 1: 6 / 14 = 0.43, 1 with 1: 8 / 12
    changes = box_changes(before, after)
    assert pairs(changes, "moved") == {(1, 0)}
    assert (pairs(changes, "removed"), pairs(changes, "added")) == ({(0, -1)}, {(-1, 1)})


def test_renumbered_and_renamed_classes_change_no_box() -> None:
    rows = [image(7)]
    before = snapshot(rows, [box(1, 7, 2, AT), box(2, 7, 5, AWAY)], classes={2: "cat", 5: "dog"})
    after = snapshot(rows, [box(1, 7, 1, AT), box(2, 7, 5, AWAY)], classes={1: "cat", 5: "hound"})
    difference = compare(before, after)
    assert kinds(difference.boxes) == {}
    assert kinds(difference.classes) == {"renumbered": 1, "renamed": 1}


def test_exchanged_class_names_change_classes_of_boxes() -> None:
    rows = [image(7)]
    before = snapshot(rows, [box(1, 7, 2, AT), box(2, 7, 5, AWAY)], classes={2: "cat", 5: "dog"})
    after = snapshot(rows, [box(1, 7, 2, AT), box(2, 7, 5, AWAY)], classes={2: "dog", 5: "cat"})
    assert kinds(compare(before, after).boxes) == {"class": 2}


def test_matches_do_not_depend_on_chunk_size(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2017)
    places = random.integers([0, 0, 25, 25], [30, 30, 55, 55], (60, 4))
    before = [box(i, 7 + i % 3, CAT, xywh.tolist()) for i, xywh in enumerate(places)]
    after = [box(i, 7 + i % 3, CAT, (xywh + random.integers(-4, 5, 4)).tolist()) for i, xywh in enumerate(places)]
    at_once = box_changes(before, after, images=(7, 8, 9))
    monkeypatch.setattr(module, "CHUNK_PAIRS", 1)
    chunked = box_changes(before, after, images=(7, 8, 9))
    assert (at_once.before.tolist(), at_once.after.tolist()) == (chunked.before.tolist(), chunked.after.tolist())
    assert kinds(at_once)["moved"] > 40


# --- outlines -----------------------------------------------------------------------------------------------------

PLACED = [box(1, 7, CAT, (10, 20, 30, 40)), box(2, 7, DOG, (100, 20, 30, 40))]


@pytest.mark.parametrize(
    ("before", "after", "is_changed"),
    [
        ("[[1, 2, 3, 4, 5, 6]]", "[[1,2,\n3.0,4.00,5,6]]", False),
        ("[[1, 2, 3, 4, 5, 6]]", "[[1, 2, 3, 4, 5, 6.5]]", True),
        ("[[1, 2, 3, 4, 5, 10]]", "[[1, 2, 3, 4, 5, 1]]", True),
        ('{"size": [4, 6], "counts": "abc"}', '{"counts":"abc","size":[4.0,6]}', False),
        ('{"size": [4, 6], "counts": "abc"}', '{"size": [4, 6], "counts": "abd"}', True),
        (None, "[[1, 2, 3, 4, 5, 6]]", True),
        (None, None, False),
    ],
)
def test_outline_alone_is_a_change(before: str | None, after: str | None, is_changed: bool) -> None:
    one, other = (
        snapshot([image(7)], PLACED, outlines=[before, "[[9, 9, 8, 8, 7, 7]]"]),
        snapshot([image(7)], PLACED[::-1], outlines=["[[9, 9, 8, 8, 7, 7]]", after]),
    )
    assert kinds(compare(one, other).boxes) == ({"outline": 1} if is_changed else {})
    assert kinds(compare(other, one).boxes) == ({"outline": 1} if is_changed else {})


def test_outline_of_a_moved_box_is_no_change_of_its_own() -> None:
    moved = [PLACED[0] | {"x": 11.0}, PLACED[1]]
    one, other = (
        snapshot([image(7)], PLACED, outlines=["[1]", "[2]"]),
        snapshot([image(7)], moved, outlines=["[3]", "[2]"]),
    )
    assert kinds(compare(one, other).boxes) == {"moved": 1}


def test_unknown_outlines_of_earlier_versions_are_no_change() -> None:
    one, other = snapshot([image(7)], PLACED), snapshot([image(7)], PLACED, outlines=["[1]", None])
    assert compare(one, other).is_empty
