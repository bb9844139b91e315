from typing import Any

import pytest

from pipeline.diff.images import compare_images
from tests.support.diff_snapshots import kinds, pairs, side
from tests.support.scenes import image

A, B, C = image(7), image(3, "train", width=100, height=80), image(9, "test")
SAME = {7: "a", 3: "b", 9: "c"}


def test_the_same_images_under_other_ids_and_in_another_order_are_the_same() -> None:
    before = side([A, B, C])
    after = side([{**C, "image_id": 1}, {**A, "image_id": 2}, {**B, "image_id": 7}])
    changes = compare_images(before.images, after.images)
    assert kinds(changes) == {}
    assert changes.before.tolist() == [0, 1, 2]
    assert changes.after.tolist() == [1, 2, 0]


@pytest.mark.parametrize("changed", [{"archive": "zips/other.zip"}, {"member": "elsewhere/a.jpg"}])
def test_where_an_image_lies_is_no_part_of_it(changed: dict[str, Any]) -> None:
    assert kinds(compare_images(side([A]).images, side([{**A, **changed}]).images)) == {}


def test_images_come_and_go() -> None:
    changes = compare_images(side([A, B]).images, side([C, A]).images)
    assert kinds(changes) == {"came": 1, "went": 1}
    assert (pairs(changes, "went"), pairs(changes, "came")) == ({(1, -1)}, {(-1, 0)})


@pytest.mark.parametrize(
    ("changed", "digest", "expected"),
    [
        pytest.param({}, "other", {"pixels": 1}, id="another file under its name"),
        pytest.param({"width": 641}, "other", {"pixels": 1, "size": 1}, id="another file of another size"),
        pytest.param({"height": 428}, "a", {"size": 1}, id="another size is stated for the same file"),
        pytest.param({"split": "train"}, "a", {"split": 1}, id="moved to another split"),
        pytest.param({"file_name": "new.jpg"}, "a", {"renamed": 1}, id="renamed"),
        pytest.param(
            {"file_name": "new.jpg", "split": "test"}, "a", {"renamed": 1, "split": 1}, id="renamed and moved"
        ),
        pytest.param({"split": "train"}, "other", {"pixels": 1, "split": 1}, id="only the file name is left"),
        pytest.param(
            {"file_name": "new.jpg"}, "other", {"came": 1, "went": 1}, id="nothing is left but the split and the id"
        ),
    ],
)
def test_an_image_is_found_again_by_what_it_kept(
    changed: dict[str, Any], digest: str, expected: dict[str, int]
) -> None:
    before, after = side([A, B], digests=SAME), side([{**A, **changed}, B], digests={**SAME, 7: digest})
    assert kinds(compare_images(before.images, after.images)) == expected


def test_pixels_count_for_more_than_a_name() -> None:
    """Files are numbered: with a new first one, each takes the name of the one before it."""
    names = ["0.png", "1.png", "2.png", "3.png"]
    before = side([{**image(i + 1), "file_name": names[i]} for i in range(3)], digests={1: "x", 2: "y", 3: "z"})
    after = side(
        [{**image(i + 1), "file_name": names[i]} for i in range(4)], digests={1: "new", 2: "x", 3: "y", 4: "z"}
    )
    changes = compare_images(before.images, after.images)
    assert kinds(changes) == {"came": 1, "renamed": 3}
    assert pairs(changes, "renamed") == {(0, 1), (1, 2), (2, 3)}


def test_of_two_images_with_one_digest_each_finds_the_one_of_its_split() -> None:
    before = side([{**A, "file_name": "1.jpg"}, {**B, "file_name": "2.jpg"}], digests={7: "x", 3: "x"})
    after = side([{**B, "file_name": "3.jpg"}, {**A, "file_name": "4.jpg"}], digests={7: "x", 3: "x"})
    changes = compare_images(before.images, after.images)
    assert pairs(changes, "renamed") == {(0, 1), (1, 0)}
    assert kinds(changes) == {"renamed": 2}


def test_of_two_images_with_one_name_each_finds_the_one_of_its_split() -> None:
    names = [{**A, "file_name": "0.png"}, {**B, "file_name": "0.png"}]
    changes = compare_images(side(names, digests={7: "v", 3: "w"}).images, side(names[::-1], digests=SAME).images)
    assert pairs(changes, "pixels") == {(0, 1), (1, 0)}
    assert kinds(changes) == {"pixels": 2}


@pytest.mark.parametrize("unknown", [{}, {7: None}])
def test_a_digest_that_is_not_known_says_nothing(unknown: dict[int, None]) -> None:
    before, after = side([A, B], digests={7: "a", 3: "b"}), side([A], digests=unknown)
    assert kinds(compare_images(before.images, after.images)) == {"went": 1}
    assert kinds(compare_images(after.images, before.images)) == {"came": 1}


def test_images_without_digests_are_not_taken_for_one_another() -> None:
    before, after = side([A], digests={7: None}), side([C], digests={9: None})
    assert kinds(compare_images(before.images, after.images)) == {"came": 1, "went": 1}
