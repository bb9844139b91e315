"""The joins of tables: an image is identified by its split and its id."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.annotations import image_rows_of, rows_by_image
from tests.support.scenes import box, boxes_table, image, tables

Key = tuple[str, int]

keys = st.tuples(st.sampled_from(["train", "val", "test"]), st.sampled_from([1, 2, 3, 2**53, 2**53 + 1, 2**62]))


def table_of(rows: list[Key]) -> pa.Table:
    return pa.table(
        {
            "split": pa.array([split for split, _ in rows], pa.string()),
            "image_id": pa.array([image_id for _, image_id in rows], pa.int64()),
        }
    )


@given(st.lists(keys, max_size=8), st.lists(keys, max_size=8))
def test_rows_of_images_are_those_of_a_loop(rows: list[Key], images: list[Key]) -> None:
    expected = [images.index(key) if key in images else -1 for key in rows]
    chunked = pa.concat_tables([table_of(rows[:3]), table_of(rows[3:])])
    assert image_rows_of(chunked, table_of(images)).tolist() == expected


IMAGES = [image(1, "train"), image(1, "val"), image(2, "val")]
BOXES = [box(1, 1, 2, (1, 2, 3, 4), split="val"), box(1, 1, 5, (5, 6, 7, 8), split="train")]


def test_a_split_has_its_own_boxes_of_a_shared_id() -> None:
    everything = tables(IMAGES, BOXES)
    assert everything.split("train").boxes["category_id"].to_pylist() == [5]
    assert everything.split("val").boxes["category_id"].to_pylist() == [2]
    of_images = everything.split("val").of_images(np.array([1]))
    assert (of_images.images["split"].to_pylist(), of_images.boxes["category_id"].to_pylist()) == (["val"], [2])


def test_ids_of_several_splits_are_refused_where_one_split_is_meant() -> None:
    everything = tables(IMAGES, BOXES)
    message = "^image ids are unique within a split only, received rows of train, val$"
    with pytest.raises(ValueError, match=message):
        everything.of_images(np.array([1]))
    with pytest.raises(ValueError, match=r"received rows of val, train$"):
        list(rows_by_image(boxes_table(IMAGES, BOXES), [1]))
