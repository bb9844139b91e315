from typing import Any

import pytest

from pipeline.diff.image_matching import compare_images
from tests.support.diff_snapshots import kinds, pairs, snapshot
from tests.support.scenes import image

A, B, C = image(7), image(3, "train", width=100, height=80), image(9, "test")
SAME = {7: "a", 3: "b", 9: "c"}


def test_other_ids_and_other_order_are_no_change() -> None:
    before = snapshot([A, B, C])
    after = snapshot([{**C, "image_id": 1}, {**A, "image_id": 2}, {**B, "image_id": 7}])
    changes = compare_images(before.images, after.images)
    assert kinds(changes) == {}
    assert changes.before.tolist() == [0, 1, 2]
    assert changes.after.tolist() == [1, 2, 0]


@pytest.mark.parametrize("changed", [{"archive": "zips/other.zip"}, {"member": "elsewhere/a.jpg"}])
def test_archive_and_member_are_not_compared(changed: dict[str, Any]) -> None:
    assert kinds(compare_images(snapshot([A]).images, snapshot([{**A, **changed}]).images)) == {}


def test_added_and_removed_images() -> None:
    changes = compare_images(snapshot([A, B]).images, snapshot([C, A]).images)
    assert kinds(changes) == {"added": 1, "removed": 1}
    assert (pairs(changes, "removed"), pairs(changes, "added")) == ({(1, -1)}, {(-1, 0)})


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
            {"file_name": "new.jpg"}, "other", {"added": 1, "removed": 1}, id="nothing is left but the split and the id"
        ),
    ],
)
def test_changed_image_is_matched(changed: dict[str, Any], digest: str, expected: dict[str, int]) -> None:
    before, after = snapshot([A, B], digests=SAME), snapshot([{**A, **changed}, B], digests={**SAME, 7: digest})
    assert kinds(compare_images(before.images, after.images)) == expected


def test_digest_takes_precedence_over_name() -> None:
    """Files are often numbered: with a new first one, each gets the previous name of its successor."""
    names = ["0.png", "1.png", "2.png", "3.png"]
    before = snapshot([{**image(i + 1), "file_name": names[i]} for i in range(3)], digests={1: "x", 2: "y", 3: "z"})
    after = snapshot(
        [{**image(i + 1), "file_name": names[i]} for i in range(4)], digests={1: "new", 2: "x", 3: "y", 4: "z"}
    )
    changes = compare_images(before.images, after.images)
    assert kinds(changes) == {"added": 1, "renamed": 3}
    assert pairs(changes, "renamed") == {(0, 1), (1, 2), (2, 3)}


def test_equal_digests_are_matched_by_split() -> None:
    before = snapshot([{**A, "file_name": "1.jpg"}, {**B, "file_name": "2.jpg"}], digests={7: "x", 3: "x"})
    after = snapshot([{**B, "file_name": "3.jpg"}, {**A, "file_name": "4.jpg"}], digests={7: "x", 3: "x"})
    changes = compare_images(before.images, after.images)
    assert pairs(changes, "renamed") == {(0, 1), (1, 0)}
    assert kinds(changes) == {"renamed": 2}


def test_equal_names_are_matched_by_split() -> None:
    names = [{**A, "file_name": "0.png"}, {**B, "file_name": "0.png"}]
    changes = compare_images(
        snapshot(names, digests={7: "v", 3: "w"}).images, snapshot(names[::-1], digests=SAME).images
    )
    assert pairs(changes, "pixels") == {(0, 1), (1, 0)}
    assert kinds(changes) == {"pixels": 2}


@pytest.mark.parametrize("unknown", [{}, {7: None}])
def test_missing_digest_is_no_change(unknown: dict[int, None]) -> None:
    before, after = snapshot([A, B], digests={7: "a", 3: "b"}), snapshot([A], digests=unknown)
    assert kinds(compare_images(before.images, after.images)) == {"removed": 1}
    assert kinds(compare_images(after.images, before.images)) == {"added": 1}


def test_images_without_digests_are_not_matched_with_each_other() -> None:
    before, after = snapshot([A], digests={7: None}), snapshot([C], digests={9: None})
    assert kinds(compare_images(before.images, after.images)) == {"added": 1, "removed": 1}
