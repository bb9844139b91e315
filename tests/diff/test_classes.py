from collections.abc import Mapping

import pytest

from pipeline.diff.classes import class_names, compare_classes
from tests.support.diff_snapshots import categories_of, kinds

BEFORE = {2: "cat", 5: "dog", 9: "owl"}


@pytest.mark.parametrize(
    ("after", "expected", "names"),
    [
        pytest.param(BEFORE, {}, ["cat", "dog", "owl"], id="the same"),
        pytest.param({7: "dog", **BEFORE}, {"came": 1}, ["cat", "dog", "dog", "owl"], id="another one of a name came"),
        pytest.param({9: "owl", 2: "cat", 5: "dog"}, {}, ["cat", "dog", "owl"], id="another order"),
        pytest.param({**BEFORE, 1: "ant"}, {"came": 1}, ["ant", "cat", "dog", "owl"], id="came"),
        pytest.param({2: "cat", 9: "owl"}, {"went": 1}, ["cat", "dog", "owl"], id="went"),
        pytest.param({**BEFORE, 5: "hound"}, {"renamed": 1}, ["cat", "hound", "owl"], id="renamed"),
        pytest.param({1: "cat", 2: "dog", 3: "owl"}, {"renumbered": 3}, ["cat", "dog", "owl"], id="renumbered"),
        pytest.param({5: "cat", 2: "dog", 9: "owl"}, {"renumbered": 2}, ["cat", "dog", "owl"], id="exchanged"),
        pytest.param(
            {7: "fox", 2: "cat", 5: "dog"}, {"came": 1, "went": 1}, ["cat", "dog", "fox", "owl"], id="neither"
        ),
    ],
)
def test_classes_are_found_again(after: Mapping[int, str], expected: dict[str, int], names: list[str]) -> None:
    tables = categories_of(BEFORE), categories_of(after)
    changes = compare_classes(*tables)
    assert kinds(changes) == expected
    assert class_names(changes, *tables) == names


def test_another_supercategory_is_a_change() -> None:
    changes = compare_classes(categories_of(BEFORE), categories_of(BEFORE, "animal"))
    assert kinds(changes) == {"regrouped": 3}


def test_the_order_of_the_list_is_the_same_both_ways() -> None:
    before, after = categories_of({1: "zebra", 2: "yak", 3: "ant"}), categories_of({1: "bee", 2: "yak", 4: "emu"})
    one, other = compare_classes(before, after), compare_classes(after, before)
    assert one.before.tolist() == other.after.tolist() == [2, 0, -1, 1]
    assert one.after.tolist() == other.before.tolist() == [-1, 0, 2, 1]
