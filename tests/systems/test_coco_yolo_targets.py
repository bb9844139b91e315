from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.geometry.boxes import xywh_to_xyxy
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.coco_yolo.config import TargetsConfig
from pipeline.systems.coco_yolo.targets import GridCodec
from tests.support import codecs
from tests.support.codecs import example_rows
from tests.support.scenes import ground_truth

CODEC = GridCodec()

GRID_6 = TargetsConfig(grid_size=6, max_boxes=4, tie_break="last", boxes_per_cell=1, crowd="encode")
NUM_LABELS = 12


def grid(grid_size: int, **changes: object) -> TargetsConfig:
    return GRID_6.model_copy(update={"grid_size": grid_size, **changes})


def encode(
    boxes_rel_xywh: list[tuple[float, ...]], labels: list[int], config: TargetsConfig = GRID_6
) -> dict[str, NDArray[Any]]:
    return CODEC.encode(ground_truth(boxes_rel_xywh, labels), config)


def round_trip(
    boxes_rel_xywh: list[tuple[float, ...]], labels: list[int], config: TargetsConfig = GRID_6
) -> LabeledBoxes:
    return codecs.round_trip(CODEC, ground_truth(boxes_rel_xywh, labels), config, NUM_LABELS)


def test_one_box_by_hand() -> None:
    # center (0.4, 0.75) x 6 = (2.4, 4.5): column 2, row 4, at (0.4, 0.5) inside the cell
    arrays = encode([(0.3, 0.7, 0.2, 0.1)], [7])
    assert arrays["box"].shape == (6, 6, 5)
    assert arrays["box"].dtype == np.float32
    assert arrays["box"][4, 2].tolist() == pytest.approx([0.4, 0.5, 0.2, 0.1, 1.0])
    assert np.count_nonzero(arrays["box"]) == 5
    # x 1.8 to 3.0 touches columns 1 and 2, not 3; y 4.2 to 4.8 touches row 4
    expected = np.zeros((6, 6), np.int32)
    expected[4, 1:3] = 7
    np.testing.assert_array_equal(arrays["class"], expected)


def test_image_without_boxes_is_all_background() -> None:
    arrays = encode([], [])
    assert not arrays["box"].any()
    assert not arrays["class"].any()
    assert len(round_trip([], []).labels) == 0


def test_later_boxes_cover_earlier_ones_except_in_center_cells() -> None:
    # The second box covers everything; its center (0.5, 0.5) is in cell (3, 3). The first box has its center in (0, 0).
    arrays = encode([(0.0, 0.0, 0.1, 0.1), (0.0, 0.0, 1.0, 1.0)], [3, 5])
    expected = np.full((6, 6), 5)
    expected[0, 0] = 3
    np.testing.assert_array_equal(arrays["class"], expected)


def test_last_of_two_centers_in_a_cell_is_kept() -> None:
    decoded = round_trip([(0.0, 0.0, 0.1, 0.1), (0.02, 0.02, 0.06, 0.1)], [3, 5])
    assert decoded.labels.tolist() == [5]
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx([0.02, 0.02, 0.06, 0.1], abs=1e-6)


def test_smaller_boxes_cover_larger_ones_in_any_order() -> None:
    # The large box covers 3 x 3 cells, with its center in (1, 1). The wide box touches columns 0 and 1 of row 0, with
    # its center in (0, 1); the tall box has the same area and touches rows 0 and 1 of column 0, with its center in
    # (1, 0).
    wide, large, tall = (0.05, 0.02, 0.25, 0.125), (0.0, 0.0, 0.5, 0.5), (0.02, 0.05, 0.125, 0.25)
    smaller = encode([wide, large], [3, 5], grid(6, tie_break="smallest"))["class"]
    assert smaller[:3, :3].tolist() == [[3, 3, 5], [5, 5, 5], [5, 5, 5]]
    assert encode([wide, large], [3, 5])["class"][:3, :3].tolist() == [[5, 3, 5], [5, 5, 5], [5, 5, 5]]
    equal_areas = encode([wide, tall, large], [3, 7, 5], grid(6, tie_break="smallest"))["class"]
    assert equal_areas[:3, :3].tolist() == [[7, 3, 5], [7, 5, 5], [5, 5, 5]]


def test_smaller_of_two_centers_in_a_cell_is_kept() -> None:
    small, large = (0.02, 0.02, 0.06, 0.1), (0.0, 0.0, 0.1, 0.1)
    decoded = round_trip([small, large], [5, 3], grid(6, tie_break="smallest"))
    assert decoded.labels.tolist() == [5]
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx(small, abs=1e-6)


IN_ONE_CELL = [(0.02, 0.02, 0.06, 0.1), (0.0, 0.0, 0.1, 0.1), (0.04, 0.03, 0.05, 0.05), (0.01, 0.0, 0.12, 0.15)]
"""Boxes with areas 0.006, 0.01, 0.0025 and 0.018, all with their centers in the first of 6 x 6 cells."""


@pytest.mark.parametrize(
    ("tie_break", "boxes_per_cell", "kept"),
    [
        ("last", 1, [3]),
        ("last", 2, [3, 2]),
        ("last", 3, [3, 1, 2]),
        ("last", 5, [3, 1, 0, 2]),
        ("smallest", 1, [2]),
        ("smallest", 2, [0, 2]),
    ],
)
def test_cell_keeps_last_or_smallest_boxes_in_order_of_decreasing_area(
    tie_break: str, boxes_per_cell: int, kept: list[int]
) -> None:
    targets = grid(6, tie_break=tie_break, boxes_per_cell=boxes_per_cell)
    arrays = encode(IN_ONE_CELL, [1, 2, 3, 4], targets)
    assert arrays["box"].shape == (6, 6, 5 * boxes_per_cell)
    assert np.count_nonzero(arrays["box"]) == 5 * len(kept)
    decoded = round_trip(IN_ONE_CELL, [1, 2, 3, 4], targets)
    np.testing.assert_allclose(decoded.boxes_rel_xywh, [IN_ONE_CELL[box] for box in kept], atol=1e-6)
    # The cell has one class: that of the last box, or of the smallest.
    assert decoded.labels.tolist() == [4 if tie_break == "last" else 3] * len(kept)


def test_two_boxes_of_a_cell_by_hand() -> None:
    # Both centers are in column 2, row 4: (0.4, 0.75) x 6 = (2.4, 4.5) and (0.35, 0.8) x 6 = (2.1, 4.8).
    arrays = encode([(0.3, 0.7, 0.2, 0.1), (0.2, 0.7, 0.3, 0.2)], [7, 8], grid(6, boxes_per_cell=3))
    numbers = arrays["box"][4, 2]
    assert numbers.tolist() == pytest.approx([0.1, 0.8, 0.3, 0.2, 1, 0.4, 0.5, 0.2, 0.1, 1, 0, 0, 0, 0, 0], abs=1e-6)
    assert not np.delete(arrays["box"].reshape(36, 15), 4 * 6 + 2, axis=0).any()


def test_each_box_of_a_cell_has_its_own_confidence() -> None:
    box = np.zeros((1, 2, 2, 10))
    box[0, 1, 0] = [0.5, 0.5, 0.4, 0.2, 0.9, 0.5, 0.5, 0.2, 0.4, 0.5]
    box[0, 0, 1] = [0.5, 0.5, 0.4, -0.2, 0.9, 0.5, 0.25, 0.5, 0.25, 0.8]  # the first one has a negative height
    [decoded] = CODEC.decode({"box": box, "class": np.full((1, 2, 2, 3), [0.7, 0.1, 0.2])})
    assert decoded.labels.tolist() == [2, 2, 2]
    assert decoded.scores.tolist() == pytest.approx([0.8 * 0.2, 0.9 * 0.2, 0.5 * 0.2])
    expected = [[0.5, 0, 0.5, 0.25], [0.05, 0.65, 0.4, 0.2], [0.15, 0.55, 0.2, 0.4]]
    np.testing.assert_allclose(decoded.boxes_rel_xywh, expected, atol=1e-9)


@pytest.mark.parametrize("grid_size", [1, 6, 7, 20])
def test_center_on_right_or_bottom_edge_belongs_to_last_cell(grid_size: int) -> None:
    targets = grid(grid_size)
    arrays = encode([(0.9, 0.95, 0.2, 0.1)], [1], targets)
    assert arrays["box"][-1, -1].tolist() == pytest.approx([1, 1, 0.2, 0.1, 1])
    decoded = round_trip([(0.9, 0.95, 0.2, 0.1)], [1], targets)
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx([0.9, 0.95, 0.2, 0.1], abs=1e-6)


BOX = st.tuples(st.floats(0, 0.95), st.floats(0, 0.95), st.floats(0.001, 1), st.floats(0.001, 1)).map(
    lambda b: (b[0], b[1], min(b[2], 1 - b[0]), min(b[3], 1 - b[1]))
)


@given(st.lists(st.tuples(BOX, st.integers(1, NUM_LABELS - 1)), max_size=12), st.integers(1, 20))
def test_round_trip_keeps_the_last_box_of_each_cell(scene: list[tuple[tuple[float, ...], int]], grid_size: int) -> None:
    last_in_cell = {}
    for (x, y, width, height), label in scene:
        column, row = (x + width / 2) * grid_size, (y + height / 2) * grid_size
        # Rounding may move a center on the border of two cells into either.
        assume(abs(column % 1 - 0.5) < 0.499 and abs(row % 1 - 0.5) < 0.499)
        last_in_cell[int(row), int(column)] = ((x, y, width, height), label)
    decoded = round_trip([box for box, _ in scene], [label for _, label in scene], grid(grid_size))
    # Cells are decoded row by row.
    expected = [last_in_cell[cell] for cell in sorted(last_in_cell)]
    assert decoded.labels.tolist() == [label for _, label in expected]
    np.testing.assert_allclose(decoded.boxes_rel_xywh, np.reshape([box for box, _ in expected], (-1, 4)), atol=1e-4)
    assert (decoded.scores == 1).all()


@given(st.lists(BOX, max_size=8), st.integers(1, 4), st.sampled_from(["last", "smallest"]))
def test_no_box_is_lost_with_enough_boxes_per_cell(
    boxes: list[tuple[float, ...]], grid_size: int, tie_break: str
) -> None:
    decoded = round_trip(boxes, [1] * len(boxes), grid(grid_size, tie_break=tie_break, boxes_per_cell=8))
    assert len(decoded.labels) == len(boxes)
    np.testing.assert_allclose(
        sorted(decoded.boxes_rel_xywh[:, 2] * decoded.boxes_rel_xywh[:, 3]),
        sorted(width * height for _, _, width, height in boxes),
        rtol=1e-5,
    )


IGNORING = GRID_6.model_copy(update={"max_boxes": 2, "crowd": "ignore"})
# x 0.6 to 3.6 and y 1.2 to 4.2 in cells: the region touches columns 0 to 3 of rows 1 to 4.
REGION = (0.1, 0.2, 0.5, 0.5)
# center (0.4, 0.75) x 6 = (2.4, 4.5): in column 2 of row 4, which the region touches; it touches column 1 as well
OBJECT = (0.3, 0.7, 0.2, 0.1)


def test_crowd_region_is_encoded_as_an_object_or_its_cells_are_ignored() -> None:
    scene = ground_truth([REGION, OBJECT], [5, 7], crowds=[0])
    published = CODEC.encode(scene, GRID_6)
    plain = CODEC.encode(ground_truth([REGION, OBJECT], [5, 7]), GRID_6)
    for name in ("box", "class"):
        np.testing.assert_array_equal(published[name], plain[name])
    ignoring = CODEC.encode(scene, IGNORING)
    confidence, labels = np.zeros((6, 6)), np.zeros((6, 6))
    confidence[1:5, 0:4] = labels[1:5, 0:4] = -1
    confidence[4, 2], labels[4, 2] = 1, 7
    np.testing.assert_array_equal(ignoring["box"][..., 4], confidence)
    np.testing.assert_array_equal(ignoring["class"], labels)
    assert ignoring["box"][4, 2].tolist() == pytest.approx([0.4, 0.5, 0.2, 0.1, 1.0])
    assert codecs.round_trip(CODEC, scene, IGNORING, NUM_LABELS).labels.tolist() == [7]


def test_ignored_crowd_regions_do_not_count_as_boxes() -> None:
    assert example_rows(CODEC, ground_truth([REGION], crowds=[0]), IGNORING) == []
    assert example_rows(CODEC, ground_truth([REGION], crowds=[0]), IGNORING, training=False) == [[0]]
    three = ground_truth([REGION, OBJECT, OBJECT], crowds=[0])
    assert example_rows(CODEC, three, IGNORING) == [[0, 1, 2]]
    assert example_rows(CODEC, three, grid(6, max_boxes=2)) == []


def test_score_is_confidence_times_probability_and_background_is_never_predicted() -> None:
    box = np.zeros((1, 2, 2, 5))
    box[0, 0, 1] = [0.5, 0.25, 0.5, 0.25, 0.8]
    box[0, 1, 0] = [0.5, 0.5, -0.1, 0.2, 0.9]  # negative width
    box[0, 1, 1] = [0.5, 0.5, 0.1, 0.2, -0.3]  # negative confidence
    probabilities = np.full((1, 2, 2, 3), [0.7, 0.1, 0.2])  # label 0, background, is the most probable
    [decoded] = CODEC.decode({"box": box, "class": probabilities})
    assert decoded.labels.tolist() == [2]
    assert decoded.scores.tolist() == pytest.approx([0.8 * 0.2])
    # center x = (1 + 0.5) / 2, y = (0 + 0.25) / 2
    left, top, right, bottom = xywh_to_xyxy(decoded.boxes_rel_xywh)[0]
    assert [left, top, right, bottom] == pytest.approx([0.5, 0.0, 1.0, 0.25])


def test_labels_are_category_ids() -> None:
    assert CODEC.label_to_category_id([1, 2, 4, 7]).tolist() == [0, 1, 2, 0, 4, 0, 0, 7]
    coco_ids = [*range(1, 91)]
    assert len(CODEC.label_to_category_id(coco_ids)) == 91


@pytest.mark.parametrize(
    ("num_boxes", "max_boxes", "selected"), [(0, 4, False), (1, 4, True), (4, 4, True), (5, 4, False), (63, None, True)]
)
def test_images_with_1_to_max_boxes_are_selected_for_training(
    num_boxes: int, max_boxes: int | None, selected: bool
) -> None:
    rows = example_rows(CODEC, ground_truth(np.ones((num_boxes, 4))), grid(6, max_boxes=max_boxes))
    assert rows == ([list(range(num_boxes))] if selected else [])
