"""Which split each image gets, by shares, folds, groups and the splits of the files."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import NO_SPLIT, Reading, Tables, categories_table, image_rows_of, images_table
from pipeline.datasets.splits import assign_splits, is_grouped_by_similarity, limit_images, parse_split

WHERE = "datasets.x"
CLASSES = ("common", "frequent", "rare", "seldom")
CLASS_PROBABILITIES = (0.7, 0.3, 0.06, 0.02)


def reading(
    names: Sequence[str],
    splits: Sequence[str] | None = None,
    classes: Sequence[Sequence[int]] | None = None,
    image_ids: Sequence[int] | None = None,
) -> Reading:
    """A dataset with these images. `classes` are the class indices of the boxes of each image."""
    splits = [NO_SPLIT] * len(names) if splits is None else splits
    classes = [[0]] * len(names) if classes is None else classes
    ids = range(1, len(names) + 1) if image_ids is None else image_ids
    boxes = [
        {
            "box_id": number,
            "split": split,
            "image_id": image_id,
            "category_id": class_index + 1,
            **dict.fromkeys(("x", "y", "width", "height", "area"), float(number)),
            "is_crowd": False,
        }
        for number, (split, image_id, class_index) in enumerate(
            (
                (split, image_id, class_index)
                for split, image_id, of_image in zip(splits, ids, classes, strict=True)
                for class_index in of_image
            ),
            1,
        )
    ]
    images = images_table(ids, splits, names, [(8, 8)] * len(names), ["a.zip"] * len(names), names)
    return Reading(
        Tables(
            images,
            pa.Table.from_pylist(boxes, schema.BOXES),
            categories_table(range(1, len(CLASSES) + 1), CLASSES, [""] * len(CLASSES)),
        ),
        image_locations=pa.table([names, ["line"] * len(names), list(ids)], schema.LOCATIONS),
        box_locations=pa.table(
            [["boxes.csv"] * len(boxes), ["line"] * len(boxes), [row["box_id"] for row in boxes]], schema.LOCATIONS
        ),
    )


def random_reading(seed: int, num_images: int) -> Reading:
    random = np.random.default_rng(seed)
    has_class = random.random((num_images, len(CLASSES))) < CLASS_PROBABILITIES
    names = [f"folder {number % 7}/{number:05d}.jpg" for number in random.permutation(num_images)]
    return reading(names, classes=[np.flatnonzero(row).tolist() for row in has_class])


def shuffled(original: Reading, seed: int) -> Reading:
    """The same images in another order and with other ids, as if the files had been listed in another order."""
    order = np.random.default_rng(seed).permutation(original.tables.images.num_rows)
    names = original.tables.images["file_name"].to_pylist()
    found = classes_of(original)
    splits = original.tables.images["split"].to_pylist()
    return reading([names[i] for i in order], [splits[i] for i in order], [found[names[i]] for i in order])


def classes_of(one: Reading) -> dict[str, list[int]]:
    """The class indices of the boxes of each image."""
    found: dict[str, list[int]] = {name: [] for name in one.tables.images["file_name"].to_pylist()}
    rows = image_rows_of(one.tables.boxes, one.tables.images)
    for row, category_id in zip(rows.tolist(), one.tables.boxes["category_id"].to_pylist(), strict=True):
        found[one.tables.images["file_name"][row].as_py()].append(category_id - 1)
    return found


def assigned(original: Reading, similar_groups: Sequence[int] | None = None, **split: Any) -> Reading:
    return assign_splits(original, parse_split(split or None, WHERE), WHERE, similar_groups)


def split_by_name(one: Reading) -> dict[str, str]:
    return dict(zip(one.tables.images["file_name"].to_pylist(), one.tables.images["split"].to_pylist(), strict=True))


def sizes(one: Reading) -> dict[str, int]:
    return dict(Counter(one.tables.images["split"].to_pylist()))


KINDS: list[dict[str, Any]] = [
    {"kind": "random", "val": 0.2, "test": 0.1},
    {"kind": "random", "val": 0.3},
    {"kind": "random", "val": 0.2, "group_by": "folder"},
    {"kind": "random", "val": 0.25, "group_by": "([0-9])[.]jpg"},
    {"kind": "folds", "folds": 4, "fold": 2},
    {"kind": "folds", "folds": 3, "group_by": "folder"},
]


@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.integers(12, 90))
def test_order_of_files_does_not_matter(split: dict[str, Any], seed: int, num_images: int) -> None:
    original = random_reading(seed, num_images)
    first = assigned(original, **split)
    again = assigned(shuffled(original, seed + 1), **split)
    assert split_by_name(first) == split_by_name(again)
    assert split_by_name(limit_images(first, 5, None)) == split_by_name(limit_images(again, 5, None))


@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.integers(12, 90))
def test_sizes_are_exact_up_to_the_largest_group_which_stays_whole(
    split: dict[str, Any], seed: int, num_images: int
) -> None:
    original = random_reading(seed, num_images)
    found = assigned(original, **split)
    assert found.tables.images.drop_columns("split").equals(original.tables.images.drop_columns("split"))
    if split["kind"] == "folds":
        targets = {"val": (num_images + split.get("fold", 0)) // split["folds"]}
    else:
        targets = {name: round(split[name] * num_images) for name in ("val", "test") if name in split}
    targets["train"] = num_images - sum(targets.values())
    group_of = {
        None: lambda name: name,
        "folder": lambda name: name.partition("/")[0],
        "([0-9])[.]jpg": lambda name: name[-5],
    }[split.get("group_by")]
    by_name = split_by_name(found)
    splits_of_group: dict[str, set[str]] = {}
    for name, of_image in by_name.items():
        splits_of_group.setdefault(group_of(name), set()).add(of_image)
    assert all(len(splits) == 1 for splits in splits_of_group.values())
    largest = max(Counter(map(group_of, by_name)).values())
    counts = sizes(found)
    for name, target in targets.items():
        assert counts[name] > 0
        assert abs(counts[name] - target) < max(largest, 1.0) or (largest == 1 and counts[name] == target)


def test_every_split_gets_a_group_however_large_the_groups_are() -> None:
    original = reading([f"{'a' if number < 5 else 'b'}/{number}.jpg" for number in range(10)])
    for seed in range(5):
        assert sizes(assigned(original, kind="random", seed=seed, group_by="folder")) == {"train": 5, "val": 5}


def test_shares_are_exact_without_groups() -> None:
    assert sizes(assigned(random_reading(1, 200), kind="random", val=0.2, test=0.1)) == {
        "train": 140,
        "val": 40,
        "test": 20,
    }


def test_classes_are_balanced_better_than_by_chance() -> None:
    """The largest deviation of a class from its share of val, in images, over many datasets."""
    found: dict[str, list[float]] = {"stratified": [], "by chance": []}
    for seed in range(20):
        original = random_reading(seed, 300)
        classes = classes_of(original)
        names = sorted(classes)
        totals = np.array([sum(number in of_image for of_image in classes.values()) for number in range(len(CLASSES))])
        by_name = split_by_name(assigned(original, kind="random"))
        stratified = [name for name, split in by_name.items() if split == "val"]
        chosen = {"stratified": stratified, "by chance": list(np.random.default_rng(seed).choice(names, 60, False))}
        for kind, val in chosen.items():
            counts = np.array([sum(number in classes[name] for name in val) for number in range(len(CLASSES))])
            found[kind].append(float(np.abs(counts - 0.2 * totals).max()))
    assert np.mean(found["stratified"]) < 1.2
    assert np.mean(found["by chance"]) > 3


@pytest.mark.parametrize("group_by", [None, "folder"])
def test_folds_partition_the_images(group_by: str | None) -> None:
    original = random_reading(3, 101)
    validated: list[str] = []
    for fold in range(5):
        by_name = split_by_name(assigned(original, kind="folds", folds=5, fold=fold, group_by=group_by))
        assert set(by_name.values()) == {"train", "val"}
        validated += [name for name, split in by_name.items() if split == "val"]
    assert sorted(validated) == sorted(split_by_name(original))


def test_another_seed_gives_another_assignment() -> None:
    original = random_reading(3, 100)
    by_seed = [split_by_name(assigned(original, kind="random", seed=seed)) for seed in (1, 2)]
    differing = sum(by_seed[0][name] != by_seed[1][name] for name in by_seed[0])
    assert 20 < differing < 40  # 32 for two independent choices of 20


def test_added_images_move_few_others() -> None:
    """Another seed would move about 96 of 300."""
    original = random_reading(5, 300)
    names = original.tables.images["file_name"].to_pylist()
    before = split_by_name(assigned(original, kind="random"))
    classes = classes_of(original)
    for added in range(10):
        more = [*names, f"new/{added}.jpg"]
        larger = reading(more, classes=[*(classes[name] for name in names), [added % 4]])
        after = split_by_name(assigned(larger, kind="random"))
        assert sum(before[name] != after[name] for name in names) <= 6


def test_similar_images_stay_together() -> None:
    groups = [number // 5 for number in range(100)]
    original = reading([f"{number}.jpg" for number in range(100)])
    found = assigned(original, groups, kind="random", group_by="similar")
    splits = found.tables.images["split"].to_pylist()
    assert all(len(set(splits[start : start + 5])) == 1 for start in range(0, 100, 5))
    assert sizes(found) == {"train": 80, "val": 20}
    assert is_grouped_by_similarity(parse_split({"kind": "folds", "group_by": "similar"}, WHERE))
    assert not is_grouped_by_similarity(parse_split({"kind": "random", "group_by": "folder"}, WHERE))
    assert not is_grouped_by_similarity(None)


def test_pattern_groups_the_copies_of_a_photograph() -> None:
    names = [f"train/image-{photo}_png.rf.{copy}abc.jpg" for photo in range(20) for copy in range(3)] + ["other.jpg"]
    found = assigned(reading(names), kind="random", val=0.2, group_by=r"(.*)_(?:png|jpg)\.rf\.")
    splits = [found.tables.images["split"][row].as_py() for row in range(60)]
    assert all(len(set(splits[start : start + 3])) == 1 for start in range(0, 60, 3))
    assert abs(sizes(found)["val"] - 12) < 3


def test_pattern_takes_linear_time() -> None:
    """Python's own expressions would take 2^60 steps."""
    found = assigned(reading(["a" * 60 + f"!{number}" for number in range(4)]), kind="random", group_by="(a+)+$")
    assert sizes(found) == {"train": 3, "val": 1}


PIECES = [
    "(",
    ")",
    "[",
    "]",
    "(?:",
    "(?i)",
    "(?=",
    "\\Q",
    "\\1",
    "\\",
    "|",
    "*",
    "+",
    "{1000}",
    "^",
    "$",
    ".",
    "a",
    "\n",
    "\0",
    "é",
]


@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
    | st.text(st.characters(exclude_categories=()), max_size=20)
)
def test_any_pattern_works_or_is_refused_in_a_sentence(pattern: str) -> None:
    try:
        found = assigned(reading(["a/1.jpg", "a/2.jpg", "aa/3é.jpg", "b\n4.jpg"]), kind="random", group_by=pattern)
    except BoxlineError as error:
        message = str(error)
    else:
        assert sorted(sizes(found)) == ["train", "val"]
        return
    assert message.startswith("params.yaml: datasets.x.split")


def test_split_test_of_the_files_stays_unless_it_is_asked_for() -> None:
    names = [f"{number}.jpg" for number in range(60)]
    original = reading(names, ["train"] * 30 + ["val"] * 20 + ["test"] * 10)
    for split in ({"kind": "random"}, {"kind": "folds"}):
        by_name = split_by_name(assigned(original, **split))
        assert {name for name, value in by_name.items() if value == "test"} == set(names[50:])
        assert sum(value == "val" for value in by_name.values()) == 10
    assert sizes(assigned(original, kind="random", val=0.1, test=0.5)) == {"train": 24, "val": 6, "test": 30}


def test_splits_of_the_files_stay_if_all_images_have_one() -> None:
    original = reading(["1.jpg", "2.jpg"], ["val", "train"])
    assert assigned(original) is original
    assert assigned(original, kind="published") is original


def test_dataset_without_splits_gets_random_ones(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        found = assigned(random_reading(1, 50))
    assert sizes(found) == {"train": 40, "val": 10}
    assert split_by_name(found) == split_by_name(assigned(random_reading(1, 50), kind="random"))
    assert caplog.messages[0] == (
        "the files assign no image to a split, so 20 % of the images become val and the others train; "
        "datasets.x.split changes that"
    )


def test_images_that_the_files_leave_out_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    original = reading(
        ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], ["train", NO_SPLIT, "val", NO_SPLIT], [[0], [1, 1], [], []]
    )
    refused = [
        {"file": "x.csv", "element": "line", "number": number, "split": None, "file_name": name, "reason": "bad"}
        for number, name in enumerate(("b.jpg", "c.jpg", "unknown.jpg", None), 1)
    ]
    original = replace(original, refused=pa.Table.from_pylist(refused, schema.REFUSED))
    with caplog.at_level(logging.INFO):
        found = assigned(original)
    assert split_by_name(found) == {"a.jpg": "train", "c.jpg": "val"}
    assert found.tables.boxes["box_id"].to_pylist() == found.box_locations["number"].to_pylist() == [1]
    assert found.image_locations["file"].to_pylist() == ["a.jpg", "c.jpg"]
    assert found.refused["number"].to_pylist() == [2, 3, 4]
    which = "that the files assign to no split"
    assert found.passed_over.to_pylist() == [
        {"kind": f"boxes of images {which}", "count": 2, "examples": "'b.jpg'"},
        {"kind": f"images {which}", "count": 2, "examples": "'b.jpg', 'd.jpg'"},
        {"kind": f"refused entries of images {which}", "count": 1, "examples": "'b.jpg'"},
    ]
    assert caplog.messages == [f"left out 2 images {which}"]
    # All of them count if the splits are assigned anew.
    assert sum(sizes(assigned(original, kind="random", val=0.25)).values()) == 4


def test_another_split_trains_where_the_files_have_none() -> None:
    original = reading(["a.jpg", "b.jpg"], ["val", "test"])
    refused = {"file": "x.csv", "element": "line", "number": 3, "split": "val", "file_name": "a.jpg", "reason": "bad"}
    original = replace(original, refused=pa.Table.from_pylist([refused], schema.REFUSED))
    found = assigned(original, kind="published", train="val")
    assert split_by_name(found) == {"a.jpg": "train", "b.jpg": "test"}
    assert found.tables.boxes["split"].to_pylist() == ["train", "test"]
    assert found.refused["split"].to_pylist() == ["train"]


@pytest.mark.parametrize(
    ("splits", "split", "expected"),
    [
        (
            ["val", "val", "test"],
            {},
            "datasets.x has no images to train with: the files assign 2 to val, 1 to test, expected at least one image "
            "in train. Write `split: {kind: published, train: val}` or `split: {kind: random}` into datasets.x.",
        ),
        (
            ["test", "", ""],
            {},
            "datasets.x has no images to train with: the files assign 1 to test, 2 to no split, expected at least one "
            "image in train. Write `split: {kind: published, train: test}` or `split: {kind: random}` into datasets.x.",
        ),
        (
            ["", "", ""],
            {"kind": "published"},
            "datasets.x has no images to train with: the files assign 3 to no split, expected at least one image in "
            "train. Write `split: {kind: random}` into datasets.x.",
        ),
        (
            ["test", "test", "test"],
            {"kind": "published", "train": "val"},
            "datasets.x has no images to train with: the files assign 3 to test, expected at least one image in train. "
            "Write `split: {kind: published, train: test}` or `split: {kind: random}` into datasets.x.",
        ),
        (
            ["train", "val", "val"],
            {"kind": "published", "train": "val"},
            "params.yaml: datasets.x.split.train: received 'val', but the files assign 1 images to train. Delete "
            "`train: val`, or write {kind: random} to assign all images again.",
        ),
        (
            ["", "", ""],
            {"kind": "random", "group_by": "folder"},
            "params.yaml: datasets.x.split: received 3 images in 1 group, expected at least one group for each of 1 "
            "val, 2 train. Change group_by or the shares.",
        ),
        (
            ["", "", ""],
            {"kind": "folds", "folds": 4},
            "params.yaml: datasets.x.split: received 3 images in 3 groups, expected at least one group for each of 1 "
            "fold 0, 1 fold 1, 1 fold 2, 1 fold 3. Change group_by or the shares.",
        ),
        (
            ["test", "test", "test"],
            {"kind": "random"},
            "params.yaml: datasets.x.split: received 0 images in 0 groups, expected at least one group for each of 1 "
            "val, 1 train. Change group_by or the shares.",
        ),
    ],
)
def test_error_names_what_to_write(splits: list[str], split: dict[str, Any], expected: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        assigned(reading(["a.jpg", "b.jpg", "c.jpg"], splits), **split)
    assert str(raised.value) == expected


def test_no_images_at_all_are_an_error() -> None:
    with pytest.raises(BoxlineError) as raised:
        assigned(reading([]))
    assert str(raised.value) == (
        "datasets.x has no images to train with: the files have no images, expected at least one image in train."
    )


def test_ids_that_clash_are_replaced_with_those_of_boxes() -> None:
    names = [f"{split}/{number}.jpg" for split in ("train", "val") for number in range(10)]
    original = reading(
        names, ["train"] * 10 + ["val"] * 10, [[number % 4] for number in range(20)], [*range(1, 11)] * 2
    )
    found = assigned(original, kind="random")
    assert found.tables.images["image_id"].to_pylist() == list(range(1, 21))
    assert found.tables.boxes["box_id"].to_pylist() == list(range(1, 21))
    assert classes_of(found) == classes_of(original)
    assert image_rows_of(found.tables.boxes, found.tables.images).tolist() == list(range(20))


def test_ids_without_a_clash_stay() -> None:
    original = reading(["a.jpg", "b.jpg", "c.jpg"], ["train", "val", "val"], image_ids=[70, 5, 31])
    found = assigned(original, kind="random", val=0.4)
    assert found.tables.images["image_id"].to_pylist() == [70, 5, 31]
    assert found.tables.boxes["box_id"].to_pylist() == [1, 2, 3]


def test_box_of_an_unknown_image_never_gets_an_image() -> None:
    """The box is of image 2 of val, which does not exist; image 2 of train comes into the same split."""
    original = reading(["a.jpg", "b.jpg", "c.jpg"], ["train", "train", "val"], image_ids=[1, 2, 1])
    boxes = original.tables.boxes.to_pylist()
    boxes[2]["image_id"] = 2
    tables = replace(original.tables, boxes=pa.Table.from_pylist(boxes, schema.BOXES))
    found = assigned(replace(original, tables=tables), kind="random", val=0.4)
    assert image_rows_of(found.tables.boxes, found.tables.images).tolist() == [0, 1, -1]


def test_box_of_an_unknown_image_without_a_split_goes_to_train() -> None:
    original = reading(["a.jpg", "b.jpg", "c.jpg"], ["train", NO_SPLIT, NO_SPLIT], [[0], [0], []])
    boxes = original.tables.boxes.to_pylist()
    boxes[1]["image_id"] = 99
    found = assigned(
        replace(original, tables=replace(original.tables, boxes=pa.Table.from_pylist(boxes, schema.BOXES)))
    )
    assert found.tables.boxes.select(["split", "image_id"]).to_pylist() == [
        {"split": "train", "image_id": 1},
        {"split": "train", "image_id": 99},
    ]
    assert found.tables.images.num_rows == 1


def test_images_that_share_an_id_stay_together_as_the_defect_that_they_are() -> None:
    ids = [*range(1, 20), 19]
    original = reading([f"{number}.jpg" for number in range(20)], image_ids=ids, splits=["train"] * 20)
    for seed in range(10):
        found = assigned(original, kind="random", seed=seed)
        assert len(set(found.tables.images["split"].to_pylist()[18:])) == 1
        kept = limit_images(found, 10, None).tables.images["file_name"].to_pylist()
        assert ("18.jpg" in kept) == ("19.jpg" in kept)


def test_limit_keeps_images_by_the_seed_with_what_belongs_to_them() -> None:
    names = [f"{number}.jpg" for number in range(40)]
    original = reading(names, ["train"] * 30 + ["val"] * 10, [[0, 1]] * 40)
    found = limit_images(original, 15, None)
    assert sizes(found) == {"train": 15, "val": 10}
    kept = found.tables.images["file_name"].to_pylist()
    assert kept != names[:15] + names[30:]
    assert kept == sorted(kept, key=names.index)  # in the order of the files
    assert found.image_locations["file"].to_pylist() == kept
    assert found.tables.boxes["box_id"].to_pylist() == found.box_locations["number"].to_pylist()
    assert classes_of(found) == {name: [0, 1] for name in kept}
    assert {row["kind"]: row["count"] for row in found.passed_over.to_pylist()} == {
        "boxes of images beyond the limit": 30,
        "images beyond the limit": 15,
    }
    assert set(limit_images(original, 5, None).tables.images["file_name"].to_pylist()) < set(kept)
    assert limit_images(original, 30, None) is original
    other_seed = limit_images(original, 15, parse_split({"kind": "published", "seed": 3}, WHERE))
    assert other_seed.tables.images["file_name"].to_pylist() != kept


@given(st.integers(0, 2**32 - 1), st.integers(4, 40), st.integers(1, 20), st.sampled_from([None, *KINDS[:2]]))
def test_what_comes_in_is_a_row_or_is_passed_over(
    seed: int, num_images: int, limit: int, split: dict[str, Any] | None
) -> None:
    random = np.random.default_rng(seed)
    splits = ["train", *random.choice(["train", "val", "test", NO_SPLIT], num_images - 1).tolist()]
    if splits.count("test") > len(splits) - 3:
        splits[:3] = ["train"] * 3
    classes = [[0] * number for number in random.integers(0, 4, num_images)]
    original = reading([f"{number}.jpg" for number in range(num_images)], splits, classes)
    names = random.choice([*original.tables.images["file_name"].to_pylist(), "unknown.jpg"], 5).tolist()
    rows = [
        {"file": "x", "element": "line", "number": 1, "split": None, "file_name": name, "reason": "r"} for name in names
    ]
    original = replace(original, refused=pa.Table.from_pylist(rows, schema.REFUSED))
    config = parse_split(split, WHERE)
    found = limit_images(assign_splits(original, config, WHERE), limit, config)
    left_out = sum(found.passed_over["count"].to_pylist())
    assert total_rows(found) + left_out == total_rows(original)
    assert max(sizes(found).values()) <= limit
    assert set(sizes(found)) <= {"train", "val", "test"}
    assert (image_rows_of(found.tables.boxes, found.tables.images) >= 0).all()
    assert found.image_locations.num_rows == found.tables.images.num_rows
    assert found.box_locations.num_rows == found.tables.boxes.num_rows


def total_rows(one: Reading) -> int:
    return one.tables.images.num_rows + one.tables.boxes.num_rows + one.refused.num_rows


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ({}, "params.yaml: datasets.x.split: the key 'kind' is missing."),
        (
            {"kind": "shares"},
            "params.yaml: datasets.x.split.kind: received 'shares', expected one of 'published', 'random', 'folds'.",
        ),
        (
            {"kind": "random", "group_by": "folders"},
            "params.yaml: datasets.x.split.group_by: received 'folders', expected folder, similar, or a regular "
            "expression with a group in parentheses (it has no group).",
        ),
        (
            {"kind": "random", "group_by": "a)(b"},
            "params.yaml: datasets.x.split.group_by: received 'a)(b', expected folder, similar, or a regular "
            "expression with a group in parentheses (unexpected ): a)(b).",
        ),
        (
            {"kind": "random", "val": 0.6, "test": 0.4},
            "params.yaml: datasets.x.split: received val 0.6 and test 0.4, expected a sum below 1: the rest trains.",
        ),
        (
            {"kind": "random", "val": 1.2},
            "params.yaml: datasets.x.split.val: received 1.2, expected a number < 1.",
        ),
        (
            {"kind": "folds", "folds": 5, "fold": 5},
            "params.yaml: datasets.x.split: received fold 5 of 5 folds, expected 0 to 4.",
        ),
        (
            {"kind": "folds", "folds": 1},
            "params.yaml: datasets.x.split.folds: received 1, expected an integer >= 2.",
        ),
        (
            {"kind": "folds", "folds": 3, "fold": "first"},
            "params.yaml: datasets.x.split.fold: received 'first', expected an integer.",
        ),
        (
            {"kind": "published", "train": "valid"},
            "params.yaml: datasets.x.split.train: received 'valid', expected 'train', 'val' or 'test'.",
        ),
        (
            {"kind": "random", "shares": 1},
            "params.yaml: datasets.x.split: unknown key 'shares', expected one of seed, group_by, kind, val, test.",
        ),
    ],
)
def test_wrong_section_is_reported(split: dict[str, Any], expected: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        parse_split(split, WHERE)
    assert str(raised.value) == expected
