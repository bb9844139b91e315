from pathlib import Path

from pipeline.diff.difference import Difference, Side, compare
from pipeline.diff.summary import NUM_COUNTS, summary
from tests.support import diff_scene as scene
from tests.support.diff_snapshots import side
from tests.support.scenes import box, image


def difference_of_scene(folder: Path) -> Difference:
    before, after = scene.versions(folder)
    return compare(Side.read(before, "old"), Side.read(after, "new"))


def test_only_what_changed_is_told(tmp_path: Path) -> None:
    assert summary(difference_of_scene(tmp_path)) == (
        "             before  after  came  went\n"
        "images            6      6     1     1  2 changed: 1 other pixels, 1 other size, 1 other split\n"
        "boxes             8      9     3     2  3 changed: 1 moved (IoU 0.80 to 0.80), 1 other class, "
        "1 other crowd flag\n"
        "classes           3      3     0     0  1 renamed\n"
        "quarantined       2      2              -1 a, +1 b\n"
        "\n"
        "Leak: 1 image file now in several splits: train/000000000012.jpg = val/000000000011.jpg.\n"
        "Leak: 1 image moved into train: 000000000013.jpg from val.\n"
        "Classes with another name: cat -> <script>alert(1)</script>.\n"
        "\n"
        "class                      split  before  after  difference\n"
        "<script>alert(1)</script>  train       1      2          +1\n"
        "<script>alert(1)</script>  test        1      0          -1\n"
        "owl                        train       1      2          +1"
    )


def test_nothing_is_told_in_two_words(tmp_path: Path) -> None:
    before, _ = scene.versions(tmp_path)
    assert summary(compare(Side.read(before, "old"), Side.read(before, "old"))) == "no differences"


def test_classes_are_named() -> None:
    before = side([], classes={2: "cat", 5: "dog", 9: "owl"})
    after = side([], classes={1: "cat", 9: "fox", 11: "bee\x1b[31m"})
    assert summary(compare(before, after)).splitlines()[2:] == [
        "",
        "Classes that came: bee\\x1b[31m.",
        "Classes that went: dog.",
        "Classes with another name: owl -> fox.",
        "Classes with another id: cat 2 -> 1.",
    ]


def test_a_version_may_have_no_classes() -> None:
    empty, one = side([], classes={}), side([], classes={2: "cat"})
    assert summary(compare(empty, one)).splitlines()[1:] == [
        "classes       0      1     1     0",
        "",
        "Classes that came: cat.",
    ]
    assert summary(compare(one, empty)).splitlines()[1:] == [
        "classes       1      0     0     1",
        "",
        "Classes that went: cat.",
    ]


def test_names_and_counts_are_bounded_and_the_rest_is_counted() -> None:
    classes = {number: f"class {number:02d}" for number in range(1, NUM_COUNTS + 3)}
    rows = [image(number, "val") for number in range(1, 9)]
    boxes = [box(number, 1, number, (number, 0, 1, 1)) for number in classes]
    told = summary(
        compare(
            side(rows, classes=classes),
            side([{**row, "split": "train"} for row in rows], [*boxes, box(99, 1, 7, (9, 9, 1, 1))], classes=classes),
        )
    ).splitlines()
    assert told[4] == "Leak: 8 images moved into train: " + (
        ", ".join(f"{number:012d}.jpg from val" for number in range(1, 6)) + " and 3 more."
    )
    assert told[6:9] == [
        "class     split  before  after  difference",
        "class 07  train       0      2          +2",
        "class 01  train       0      1          +1",
    ]
    assert len(told) == 7 + NUM_COUNTS + 1
    assert told[-1] == "and 2 more"


def test_unknown_digests_are_told() -> None:
    before, after = side([image(7), image(8)], digests={7: None, 8: "x"}), side([image(7)], digests={7: "a"})
    assert "1 image without a digest on one side: whether the pixels changed is not known." in summary(
        compare(before, after)
    )
