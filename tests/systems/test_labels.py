"""Labels: category ids as labels, and their limit."""

import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.systems.common.labels import MAX_CATEGORY_LABEL, Labels, category_ids_as_labels, contiguous_labels


def test_category_ids_are_labels_up_to_a_limit() -> None:
    labels = category_ids_as_labels([MAX_CATEGORY_LABEL, 2])
    assert len(labels) == MAX_CATEGORY_LABEL + 1
    assert np.flatnonzero(labels).tolist() == [2, MAX_CATEGORY_LABEL]
    assert category_ids_as_labels([]).tolist() == [0]


@pytest.mark.parametrize("category_id", [MAX_CATEGORY_LABEL + 1, 2**24 + 1, 2**31 - 1])
def test_category_id_beyond_the_limit_is_named(category_id: int) -> None:
    """An array of that length would be allocated, and a model with an output for each."""
    with pytest.raises(BoxlineError) as raised:
        category_ids_as_labels([1, category_id])
    assert str(raised.value) == (
        f"Category id {category_id} is too large for a system whose labels are category ids, with an output for each "
        "up to the largest: expected at most 9999. Choose a system that numbers the categories itself, such as "
        "anchor_free_detector, or renumber them."
    )


def test_contiguous_labels_hold_any_category_id() -> None:
    ids = np.array([2**31 - 1, 1, 2**24 + 1, 2**24], np.int32)
    labels = Labels(contiguous_labels(ids.tolist()), ["a", "b", "c", "d"])
    assert labels.from_category_ids(ids).tolist() == [3, 0, 2, 1]
