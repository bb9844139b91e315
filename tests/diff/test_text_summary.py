from pathlib import Path

from pipeline.diff.difference import Difference, Snapshot, compare
from pipeline.diff.text_summary import MAX_COUNTS, format_summary
from tests.support import diff_scene as scene
from tests.support.diff_snapshots import snapshot
from tests.support.scenes import box, image


def difference_of_scene(folder: Path) -> Difference:
    before, after = scene.versions(folder)
    return compare(Snapshot.read(before, "old"), Snapshot.read(after, "new"))


def test_summary_contains_only_changes(tmp_path: Path) -> None:
    assert format_summary(difference_of_scene(tmp_path)) == (
        "             before  after  added  removed\n"
        "images            6      6      1        1  2 changed: 1 other pixels, 1 other size, 1 other split\n"
        "boxes             8      9      3        2  3 changed: 1 moved (IoU 0.80 to 0.80), 1 other class, "
        "1 other crowd flag\n"
        "classes           3      3      0        0  1 renamed\n"
        "quarantined       2      2                  -1 a, +1 b\n"
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


def test_summary_without_differences(tmp_path: Path) -> None:
    before, _ = scene.versions(tmp_path)
    assert format_summary(compare(Snapshot.read(before, "old"), Snapshot.read(before, "old"))) == "no differences"


def test_changed_classes_are_listed() -> None:
    before = snapshot([], classes={2: "cat", 5: "dog", 9: "owl"})
    after = snapshot([], classes={1: "cat", 9: "fox", 11: "bee\x1b[31m"})
    assert format_summary(compare(before, after)).splitlines()[2:] == [
        "",
        "Classes added: bee\\x1b[31m.",
        "Classes removed: dog.",
        "Classes with another name: owl -> fox.",
        "Classes with another id: cat 2 -> 1.",
    ]


def test_version_without_classes_is_summarized() -> None:
    empty, one = snapshot([], classes={}), snapshot([], classes={2: "cat"})
    assert format_summary(compare(empty, one)).splitlines()[1:] == [
        "classes       0      1      1        0",
        "",
        "Classes added: cat.",
    ]
    assert format_summary(compare(one, empty)).splitlines()[1:] == [
        "classes       1      0      0        1",
        "",
        "Classes removed: cat.",
    ]


def test_long_lists_are_truncated_with_number_of_omitted_items() -> None:
    classes = {number: f"class {number:02d}" for number in range(1, MAX_COUNTS + 3)}
    rows = [image(number, "val") for number in range(1, 9)]
    boxes = [box(number, 1, number, (number, 0, 1, 1)) for number in classes]
    lines = format_summary(
        compare(
            snapshot(rows, classes=classes),
            snapshot(
                [{**row, "split": "train"} for row in rows], [*boxes, box(99, 1, 7, (9, 9, 1, 1))], classes=classes
            ),
        )
    ).splitlines()
    assert lines[4] == "Leak: 8 images moved into train: " + (
        ", ".join(f"{number:012d}.jpg from val" for number in range(1, 6)) + " and 3 more."
    )
    assert lines[6:9] == [
        "class     split  before  after  difference",
        "class 07  train       0      2          +2",
        "class 01  train       0      1          +1",
    ]
    assert len(lines) == 7 + MAX_COUNTS + 1
    assert lines[-1] == "and 2 more"


def test_missing_digests_are_noted() -> None:
    before, after = snapshot([image(7), image(8)], digests={7: None, 8: "x"}), snapshot([image(7)], digests={7: "a"})
    assert "1 image without a digest in one version: their pixels could not be compared." in format_summary(
        compare(before, after)
    )
