"""Counts, leaks and errors of a comparison, and properties that hold for any two snapshots."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables
from pipeline.diff.difference import Difference, Leak, Snapshot, compare
from pipeline.diff.revisions import folder_of_tables
from tests.support.diff_scene import write_after
from tests.support.diff_snapshots import kinds, pairs, snapshot
from tests.support.scenes import box, image, tables

A, B, C = image(7, "train"), image(3, "val", width=100, height=80), image(9, "test")
CAT, DOG = 2, 5


def test_boxes_are_counted_per_class_and_split() -> None:
    before = snapshot(
        [A, B], [box(1, 7, CAT, (1, 2, 3, 4)), box(2, 7, DOG, (5, 6, 7, 8)), box(3, 3, DOG, (1, 2, 3, 4))]
    )
    after = snapshot(
        [{**A, "split": "val"}, C],
        [box(1, 7, CAT, (1, 2, 3, 4)), box(2, 7, CAT, (5, 6, 7, 8)), box(4, 9, DOG, (1, 2, 3, 4))],
    )
    difference = compare(before, after)
    counts = difference.counts
    assert (counts.classes, counts.splits) == (["cat", "dog"], ["train", "val", "test"])
    assert counts.before.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert counts.after.tolist() == [[0, 2, 0], [0, 0, 1]]
    assert kinds(difference.images) == {"split": 1, "added": 1, "removed": 1}
    assert kinds(difference.boxes) == {"class": 1, "added": 1, "removed": 1}


def test_split_of_other_name_comes_before_test() -> None:
    before, after = snapshot([image(1, "test"), image(2, "train")]), snapshot([image(1, "more"), image(2, "train")])
    assert compare(before, after).counts.splits == ["train", "more", "test"]


def test_file_in_two_splits_is_a_leak() -> None:
    before = snapshot([A, B, C], digests={7: "z", 3: "x", 9: "x"})
    after = snapshot([A, B, C, image(11, "val"), image(12, "val")], digests={7: "z", 3: "x", 9: "x", 11: "z", 12: "z"})
    names = {row["image_id"]: row["file_name"] for row in after.images.to_pylist()}
    assert compare(before, after).leaks == [
        Leak([("train", names[7]), ("val", names[11]), ("val", names[12])], is_new=True),
        Leak([("test", names[9]), ("val", names[3])], is_new=False),
    ]
    assert compare(after, before).leaks == [Leak([("test", names[9]), ("val", names[3])], is_new=False)]


@pytest.mark.parametrize("digest", ["x", None])
def test_duplicates_in_one_split_and_missing_digests_are_no_leak(digest: str | None) -> None:
    twice = snapshot([A, {**A, "image_id": 8, "file_name": "8.jpg"}], digests={7: digest, 8: digest})
    assert compare(twice, twice).leaks == []
    unknown = snapshot([A, B], digests={7: None, 3: None})
    assert compare(unknown, unknown).leaks == []


def test_images_that_moved_into_train_are_found() -> None:
    before = snapshot([A, B, C, image(11, "val")])
    after = snapshot(
        [{**A, "split": "val"}, {**B, "split": "train"}, {**C, "split": "val"}, image(11, "train")],
        digests={7: "digest of 000000000007.jpg", 3: "digest of 000000000003.jpg", 9: None, 11: "another file"},
    )
    difference = compare(before, after)
    assert kinds(difference.images) == {"split": 4, "pixels": 1}
    assert difference.images.before[difference.moved_into_train].tolist() == [1]


def test_quarantine_alone_is_a_difference() -> None:
    before, after = snapshot([A], reasons=["a", "b", "a"]), snapshot([A], reasons=["b", "a"])
    assert compare(before, before).is_empty
    assert not compare(before, after).is_empty
    assert (before.quarantined, after.quarantined) == ({"a": 2, "b": 1}, {"a": 1, "b": 1})


@pytest.mark.parametrize(
    ("given", "violation"),
    [
        (
            tables([A], [box(1, 8, CAT, (1, 2, 3, 4))]),
            "boxes.parquet has image_id 8 of val, which images.parquet does not have",
        ),
        (
            tables([A], [box(1, 7, 4, (1, 2, 3, 4))]),
            "boxes.parquet has category_id 4, which categories.parquet does not have",
        ),
        (tables([A, A, B], []), "images.parquet has image_id 7 of train more than once"),
        (
            tables([A], [box(1, 7, CAT, (1, 2, 3, 4)), box(2, 7, CAT, (math.nan, 2, 3, 4))]),
            "boxes.parquet has x nan in box_id 2",
        ),
        (
            tables([A], [box(3, 7, CAT, (1, 2, 3, 4)) | {"area": -math.inf}]),
            "boxes.parquet has area -inf in box_id 3",
        ),
    ],
)
def test_inconsistent_tables_are_rejected(tmp_path: Path, given: Tables, violation: str) -> None:
    given.write(tmp_path / "mine")
    with pytest.raises(BoxlineError) as raised:
        Snapshot.read(folder_of_tables(tmp_path / "mine"), "mine")
    assert str(raised.value) == f"mine of {tmp_path}/mine: {violation}. Compare tables that `validate` has checked."


# --- properties of any two snapshots ------------------------------------------------------------------------------

NUMBERS = st.integers(0, 6)
CLASSES = st.dictionaries(st.integers(1, 4), st.sampled_from(["ant", "bee", "cat", "dog"]), min_size=1)

IMAGE_EDITS: list[dict[str, Any]] = [
    {"file_name": "9.jpg"},
    {"split": "test"},
    {"width": 66},
    {"height": 99},
    {"sha256": "z"},
    {"member": "elsewhere"},
]
BOX_EDITS: list[dict[str, Any]] = [
    {"x": 7.0},
    {"y": 1.0},
    {"width": 8.0},
    {"height": 6.0},
    {"area": 2.0},
    {"is_crowd": True},
    {"box_id": 999},
]


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Draw from few names, digests and coordinates, so that two snapshots have much in common."""
    classes = dict(sorted(draw(CLASSES).items()))
    keys = draw(st.lists(st.tuples(st.sampled_from(["train", "val"]), NUMBERS), max_size=4, unique=True))
    images, boxes, digests = [], [], {}
    for number, (split, name) in enumerate(keys):
        image_id = number + draw(st.sampled_from([1, 100]))
        images.append({**image(image_id, split, width=draw(st.sampled_from([64, 65]))), "file_name": f"{name}.jpg"})
        digests[image_id] = draw(st.sampled_from("pqrst"))
        for _ in range(draw(st.integers(0, 4))):
            xywh = draw(NUMBERS), draw(st.integers(0, 2)), 5 + draw(NUMBERS), 5 + draw(st.integers(0, 1))
            made = box(len(boxes) + 1, image_id, draw(st.sampled_from(list(classes))), xywh)
            boxes.append({**made, "is_crowd": draw(st.booleans()), "area": float(draw(st.integers(1, 2)))})
    return snapshot(
        images, boxes, digests=digests, classes=classes, reasons=draw(st.lists(st.sampled_from("ab"), max_size=2))
    )


@st.composite
def pairs_of_snapshots(draw: st.DrawFn) -> tuple[Snapshot, Snapshot]:
    """Draw two snapshots, or one and a copy with up to two edits."""
    before = draw(snapshots())
    if draw(st.booleans()):
        return before, draw(snapshots())
    images, boxes = before.images.to_pylist(), before.boxes.to_pylist()
    for _ in range(draw(st.integers(0, 2))):
        rows, edits = draw(st.sampled_from([(images, IMAGE_EDITS), (boxes, BOX_EDITS)]))
        if rows:
            rows[draw(st.integers(0, len(rows) - 1))] |= draw(st.sampled_from(edits))
    after = snapshot(
        images,
        boxes,
        digests={row["image_id"]: row["sha256"] for row in images},
        classes={row["category_id"]: row["name"] for row in before.categories.to_pylist()},
        reasons=list(Counter(before.quarantined).elements()),
    )
    return before, after


def content(snapshot: Snapshot) -> Any:
    """Return a snapshot's content without order and ids, as a reference implementation in plain Python."""
    names = {row["category_id"]: row["name"] for row in snapshot.categories.to_pylist()}
    boxes: dict[int, list[Any]] = {row["image_id"]: [] for row in snapshot.images.to_pylist()}
    for row in snapshot.boxes.to_pylist():
        place = [row[key] for key in ("x", "y", "width", "height", "area", "is_crowd")]
        boxes[row["image_id"]].append((row["category_id"], *place))
    images = Counter(
        (
            *(row[key] for key in ("split", "file_name", "sha256", "width", "height")),
            tuple(sorted(boxes[row["image_id"]])),
        )
        for row in snapshot.images.to_pylist()
    )
    return images, names, snapshot.quarantined


@pytest.mark.slow
@given(snapshots(), st.randoms())
def test_other_ids_and_other_order_are_no_difference(version: Snapshot, random: Any) -> None:
    images, boxes = version.images.to_pylist(), version.boxes.to_pylist()
    for rows in (images, boxes):
        random.shuffle(rows)
    ids = {row["image_id"]: 1000 - place for place, row in enumerate(images)}
    renumbered = snapshot(
        [{**row, "image_id": ids[row["image_id"]]} for row in images],
        [{**row, "box_id": place + 5, "image_id": ids[row["image_id"]]} for place, row in enumerate(boxes)],
        digests={ids[row["image_id"]]: row["sha256"] for row in images},
        classes={row["category_id"]: row["name"] for row in version.categories.to_pylist()},
        reasons=list(Counter(version.quarantined).elements()),
    )
    assert compare(version, version).is_empty
    assert compare(version, renumbered).is_empty
    assert compare(renumbered, version).is_empty


@pytest.mark.slow
@given(pairs_of_snapshots())
def test_difference_is_empty_if_and_only_if_content_is_equal(versions: tuple[Snapshot, Snapshot]) -> None:
    assert compare(*versions).is_empty == (content(versions[0]) == content(versions[1]))


@pytest.mark.slow
@given(pairs_of_snapshots())
def test_exchanged_snapshots_give_mirrored_changes(versions: tuple[Snapshot, Snapshot]) -> None:
    before, after = versions
    there, back = compare(before, after), compare(after, before)
    for one, other in ((there.images, back.images), (there.boxes, back.boxes), (there.classes, back.classes)):
        for kind, mirrored in {**{kind: kind for kind in one.kinds}, "added": "removed", "removed": "added"}.items():
            assert pairs(one, kind) == {(b, a) for a, b in pairs(other, mirrored)}
    assert there.counts.classes == back.counts.classes or any(there.classes.kinds["renamed"])
    assert there.counts.before.tolist() == back.counts.after.tolist()


@pytest.mark.slow
@given(pairs_of_snapshots(), st.randoms())
def test_matches_do_not_depend_on_order_of_boxes(versions: tuple[Snapshot, Snapshot], random: Any) -> None:
    shuffled = []
    for version in versions:
        rows = list(range(version.boxes.num_rows))
        random.shuffle(rows)
        shuffled.append(replace(version, boxes=version.boxes.take(np.array(rows, int))))
    assert matched_boxes(*shuffled) == matched_boxes(*versions)


def matched_boxes(before: Snapshot, after: Snapshot) -> Counter[tuple[str, str]]:
    """Count the matched pairs of boxes by content, with the image's name in place of ids."""
    contents = []
    for version in (before, after):
        names = {row["image_id"]: (row["split"], row["file_name"]) for row in version.images.to_pylist()}
        rows = [{**row, "box_id": 0, "image_id": names[row["image_id"]]} for row in version.boxes.to_pylist()]
        contents.append([*map(str, rows), "none"])  # row -1
    changes = compare(before, after).boxes
    return Counter((contents[0][b], contents[1][a]) for b, a in zip(changes.before, changes.after, strict=True))


@pytest.mark.slow
@given(pairs_of_snapshots())
def test_before_plus_added_minus_removed_is_after(versions: tuple[Snapshot, Snapshot]) -> None:
    before, after = versions
    difference = compare(before, after)
    for changes, rows_before, rows_after in (
        (difference.images, before.images.num_rows, after.images.num_rows),
        (difference.boxes, before.boxes.num_rows, after.boxes.num_rows),
        (difference.classes, before.categories.num_rows, after.categories.num_rows),
    ):
        counts = changes.counts()
        assert rows_before + counts["added"] - counts["removed"] == rows_after
        assert sorted(changes.before[changes.before >= 0].tolist()) == list(range(rows_before))
        assert sorted(changes.after[changes.after >= 0].tolist()) == list(range(rows_after))
    assert int(difference.counts.before.sum()) == before.boxes.num_rows
    assert per_class(difference) == difference.counts.after.sum(axis=1).tolist()


def per_class(difference: Difference) -> list[int]:
    """Update the counts before with each box that was added, removed or got another class."""
    index_before, index_after = difference.classes.indices()
    row_before = {row["category_id"]: place for place, row in enumerate(difference.before.categories.to_pylist())}
    row_after = {row["category_id"]: place for place, row in enumerate(difference.after.categories.to_pylist())}
    totals = difference.counts.before.sum(axis=1)
    boxes = difference.boxes
    for row, other in pairs(boxes, "added") | pairs(boxes, "removed") | pairs(boxes, "class"):
        if row >= 0:
            totals[index_before[row_before[difference.before.boxes["category_id"][row].as_py()]]] -= 1
        if other >= 0:
            totals[index_after[row_after[difference.after.boxes["category_id"][other].as_py()]]] += 1
    return totals.tolist()


# --- keys per split -----------------------------------------------------------------------------------------------


def test_boxes_are_matched_when_ids_start_again_in_each_split() -> None:
    """Renumbered ids change nothing, although two images then share id 1, and two boxes."""
    images = [image(7, "train"), image(3, "val"), image(9, "val")]
    boxes = [box(1, 7, CAT, (1, 2, 3, 4)), box(2, 3, DOG, (5, 6, 7, 8)), box(3, 9, CAT, (5, 6, 7, 9))]
    new_ids = {7: 1, 3: 1, 9: 2}
    renumbered = [{**row, "image_id": new_ids[int(row["image_id"])]} for row in images]
    splits = ["train", "val", "val"]
    renumbered_boxes = [
        {**row, "image_id": new_ids[int(row["image_id"])], "box_id": box_id, "split": split}
        for row, box_id, split in zip(boxes, [1, 1, 2], splits, strict=True)
    ]
    before, after = snapshot(images, boxes), snapshot(renumbered, renumbered_boxes)
    assert compare(before, after).is_empty
    difference = compare(before, snapshot(renumbered, [renumbered_boxes[0], renumbered_boxes[2]]))
    assert kinds(difference.boxes) == {"removed": 1}
    assert difference.counts.after.tolist() == [[1, 1], [0, 0]]


def test_tables_of_earlier_versions_without_split_are_read(tmp_path: Path) -> None:
    """Their image ids were unique over all splits."""
    written, earlier = write_after(tmp_path / "new"), write_after(tmp_path / "earlier")
    for name, columns in (("boxes.parquet", ["split", "outline"]), ("files.parquet", ["split"])):
        pq.write_table(pq.read_table(earlier / name).drop_columns(columns), earlier / name)
    versions = folder_of_tables(earlier), folder_of_tables(written)
    before, after = (Snapshot.read(version, name) for version, name in zip(versions, ("earlier", "new"), strict=True))
    assert before.boxes.equals(after.boxes)
    assert before.images.equals(after.images)
    assert compare(before, after).is_empty


def test_box_of_an_unknown_image_in_earlier_tables_is_reported(tmp_path: Path) -> None:
    tables([A], [box(1, 8, CAT, (1, 2, 3, 4))]).write(tmp_path / "mine")
    path = tmp_path / "mine" / "boxes.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["split"]), path)
    with pytest.raises(BoxlineError) as raised:
        Snapshot.read(folder_of_tables(tmp_path / "mine"), "mine")
    assert str(raised.value) == (
        f"mine of {tmp_path}/mine: boxes.parquet has image_id 8 of unknown, which images.parquet does not have. "
        "Compare tables that `validate` has checked."
    )
