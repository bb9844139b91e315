"""Overlaps of the boxes of an image, against a loop over all pairs."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import schema
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.validation.overlaps import overlapping_rows
from tests.support.scenes import box

ROWS = st.builds(
    lambda image, category, x, width, split, crowd: (
        box(1, image, category, (x, 0, width, 5), split=split) | {"is_crowd": crowd}
    ),
    st.sampled_from([2, 7]),
    st.sampled_from([1, 2]),
    st.integers(0, 3),
    st.integers(-1, 9),
    st.sampled_from(["train", "val"]),
    st.booleans(),
)


@given(st.lists(ROWS, max_size=12), st.booleans())
def test_first_earlier_box_above_the_limit_is_found(rows: list[dict[str, object]], same_class: bool) -> None:
    others, ious = overlapping_rows(pa.Table.from_pylist(rows, schema.BOXES), 0.5, same_class=same_class)
    for number, row in enumerate(rows):
        expected = (-1, 0.0)
        for earlier in reversed(range(number)):
            other = rows[earlier]
            corners = [xywh_to_xyxy([one[key] for key in ("x", "y", "width", "height")]) for one in (row, other)]
            iou = float(paired_iou(*corners)[0])
            has_key = all(row[key] == other[key] for key in ("split", "image_id"))
            has_class = (row["category_id"] == other["category_id"]) == same_class
            if has_key and has_class and iou > 0.5 and not (row["is_crowd"] or other["is_crowd"]):
                expected = (earlier, iou)
        assert (others[number], ious[number]) == expected


def test_tables_without_boxes_have_none() -> None:
    others, ious = overlapping_rows(schema.BOXES.empty_table(), 0.5, same_class=True)
    assert (others.tolist(), np.shape(ious)) == ([], (0,))
