from collections.abc import Mapping

import pytest

from pipeline.diff.class_matching import class_names, compare_classes
from tests.support.diff_snapshots import categories_of, kinds

BEFORE = {2: "cat", 5: "dog", 9: "owl"}


@pytest.mark.parametrize(
    ("after", "expected", "names"),
    [
        pytest.param(BEFORE, {}, ["cat", "dog", "owl"], id="the same"),
        pytest.param(
            {7: "dog", **BEFORE}, {"added": 1}, ["cat", "dog", "dog", "owl"], id="another one of a name added"
        ),
        pytest.param({9: "owl", 2: "cat", 5: "dog"}, {}, ["cat", "dog", "owl"], id="another order"),
        pytest.param({**BEFORE, 1: "ant"}, {"added": 1}, ["ant", "cat", "dog", "owl"], id="added"),
        pytest.param({2: "cat", 9: "owl"}, {"removed": 1}, ["cat", "dog", "owl"], id="removed"),
        pytest.param({**BEFORE, 5: "hound"}, {"renamed": 1}, ["cat", "hound", "owl"], id="renamed"),
        pytest.param({1: "cat", 2: "dog", 3: "owl"}, {"renumbered": 3}, ["cat", "dog", "owl"], id="renumbered"),
        pytest.param({5: "cat", 2: "dog", 9: "owl"}, {"renumbered": 2}, ["cat", "dog", "owl"], id="exchanged"),
        pytest.param(
            {7: "fox", 2: "cat", 5: "dog"}, {"added": 1, "removed": 1}, ["cat", "dog", "fox", "owl"], id="neither"
        ),
    ],
)
def test_classes_are_matched_by_id_and_name(
    after: Mapping[int, str], expected: dict[str, int], names: list[str]
) -> None:
    tables = categories_of(BEFORE), categories_of(after)
    changes = compare_classes(*tables)
    assert kinds(changes) == expected
    assert class_names(changes, *tables) == names


def test_other_supercategory_is_a_change() -> None:
    changes = compare_classes(categories_of(BEFORE), categories_of(BEFORE, "animal"))
    assert kinds(changes) == {"regrouped": 3}


def test_order_does_not_depend_on_which_version_is_first() -> None:
    before, after = categories_of({1: "zebra", 2: "yak", 3: "ant"}), categories_of({1: "bee", 2: "yak", 4: "emu"})
    one, other = compare_classes(before, after), compare_classes(after, before)
    assert one.before.tolist() == other.after.tolist() == [2, 0, -1, 1]
    assert one.after.tolist() == other.before.tolist() == [-1, 0, 2, 1]
