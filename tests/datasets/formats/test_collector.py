from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archives.file_tree import FileTree
from pipeline.datasets.formats.collector import AnnotationCollector

CLASSES = ["cat", "dog", "eel"]
FILES = ["a.txt", "b.txt", "c.txt"]

rows = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 2),
        st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4),
        st.integers(0, 2),
        st.integers(1, 9),
        st.none() | st.just("[[0,0,1,0,1,1]]"),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> FileTree:
    return FileTree(tmp_path_factory.mktemp("tree"))


def collector_of_images(tree: FileTree, kept: tuple[str, ...]) -> AnnotationCollector:
    collector = AnnotationCollector(tree, "line", kept)
    for number, split in enumerate(("train", None, "val")):
        collector.add_image(f"{number}.jpg", (10, 20), split=split, file=FILES[number])
    return collector


@given(rows, st.sampled_from([(), ("dog",), ("eel", "cat")]), st.integers(0, 8))
def test_many_boxes_give_what_one_after_the_other_gives(
    tree: FileTree, boxes: list[tuple[int, int, list[float], int, int, str | None]], kept: tuple[str, ...], cut: int
) -> None:
    single, bulk = collector_of_images(tree, kept), collector_of_images(tree, kept)
    for image, class_row, box_xywh, file, number, outline in boxes:
        single.add_box(image, CLASSES[class_row], box_xywh, file=FILES[file], number=number, outline=outline)
    for part in (boxes[:cut], boxes[cut:]):
        columns = [np.array([box[column] for box in part], np.int64) for column in (0, 1, 3, 4)]
        images, class_rows, file_rows, numbers = columns
        bulk.add_boxes(
            images,
            (CLASSES, class_rows),
            np.array([box[2] for box in part]).reshape(-1, 4),
            files=(FILES, file_rows),
            numbers=numbers,
            outlines={row: box[5] for row, box in enumerate(part) if box[5]},
        )
    found, expected = bulk.finish(), single.finish()
    # By value: how often a dictionary of files has a name depends on the calls.
    assert found.box_locations.to_pylist() == expected.box_locations.to_pylist()
    assert replace(found, box_locations=None) == replace(expected, box_locations=None)


def test_classes_that_no_file_lists_are_in_alphabetical_order_and_numbers_by_their_value(tree: FileTree) -> None:
    collector = AnnotationCollector(tree, "line")
    image = collector.add_image("0.jpg", (10, 20))
    collector.declare_classes(["zebra"])
    for name in ("10", "b", "9", "a", "zebra"):
        collector.add_box(image, name, (0, 0, 1, 1), file="a.txt", number=1)
    reading = collector.finish()
    assert reading.tables.categories["name"].to_pylist() == ["zebra", "9", "10", "a", "b"]
    assert reading.tables.boxes["category_id"].to_pylist() == [3, 5, 2, 4, 1]


def test_what_is_passed_over_is_counted_with_the_first_three_names(tree: FileTree) -> None:
    collector = AnnotationCollector(tree, "line")
    for name in ("d", "b", "a", "c", "b"):
        collector.pass_over("other files", name)
    collector.pass_over("other files", "a", 5)
    assert collector.finish().passed_over.to_pylist() == [
        {"kind": "other files", "count": 10, "examples": "'a', 'b', 'c'"}
    ]


def test_image_that_is_no_file_of_the_tree_keeps_the_place_that_its_reader_states(tree: FileTree) -> None:
    collector = AnnotationCollector(tree, "record")
    collector.add_image(
        "x/1.jpg", (1, 2), file="x/train.record", number=1, archive_and_member=("x/train.record", "1.jpg")
    )
    [row] = collector.finish().tables.images.select(["file_name", "archive", "member"]).to_pylist()
    assert row == {"file_name": "x/1.jpg", "archive": "x/train.record", "member": "1.jpg"}
