import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.geometry.boxes import xywh_to_xyxy
from pipeline.systems.coco_yolo.config import TargetsConfig
from pipeline.systems.coco_yolo.targets import as_outputs, decode, encode, examples, label_to_category_id
from tests.support.scenes import truth

GRID_6 = TargetsConfig(grid_size=6, max_boxes=4, overlap="later", boxes_per_cell=1, crowd="encode")
NUM_LABELS = 12


def grid(grid_size: int, **changes: object) -> TargetsConfig:
    return GRID_6.model_copy(update={"grid_size": grid_size, **changes})


def encoded(boxes_rel_xywh: list[tuple[float, ...]], labels: list[int], targets: TargetsConfig = GRID_6):  # type: ignore[no-untyped-def]
    return encode(truth(boxes_rel_xywh, labels), targets)


def round_trip(boxes_rel_xywh: list[tuple[float, ...]], labels: list[int], targets: TargetsConfig = GRID_6):  # type: ignore[no-untyped-def]
    arrays = {name: array[None] for name, array in encoded(boxes_rel_xywh, labels, targets).items()}
    return decode(as_outputs(arrays, NUM_LABELS))


def test_one_box_by_hand() -> None:
    # centre (0.4, 0.75) x 6 = (2.4, 4.5): column 2, row 4, at (0.4, 0.5) inside the cell
    arrays = encoded([(0.3, 0.7, 0.2, 0.1)], [7])
    assert arrays["box"].shape == (6, 6, 5)
    assert arrays["box"].dtype == np.float32
    assert arrays["box"][4, 2].tolist() == pytest.approx([0.4, 0.5, 0.2, 0.1, 1.0])
    assert np.count_nonzero(arrays["box"]) == 5
    # x 1.8 to 3.0 touches columns 1 and 2, not 3; y 4.2 to 4.8 touches row 4
    expected = np.zeros((6, 6), np.int32)
    expected[4, 1:3] = 7
    np.testing.assert_array_equal(arrays["class"], expected)


def test_an_image_without_boxes_is_all_nothing() -> None:
    arrays = encoded([], [])
    assert not arrays["box"].any()
    assert not arrays["class"].any()
    assert len(round_trip([], []).labels) == 0


def test_later_boxes_lie_over_earlier_ones_but_each_centre_cell_keeps_its_own_label() -> None:
    # The second box covers everything; its centre (0.5, 0.5) is in cell (3, 3). The first one's centre is in (0, 0).
    arrays = encoded([(0.0, 0.0, 0.1, 0.1), (0.0, 0.0, 1.0, 1.0)], [3, 5])
    expected = np.full((6, 6), 5)
    expected[0, 0] = 3
    np.testing.assert_array_equal(arrays["class"], expected)


def test_of_two_centres_in_one_cell_the_later_one_stays() -> None:
    decoded = round_trip([(0.0, 0.0, 0.1, 0.1), (0.02, 0.02, 0.06, 0.1)], [3, 5])
    assert decoded.labels.tolist() == [5]
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx([0.02, 0.02, 0.06, 0.1], abs=1e-6)


def test_smaller_boxes_lie_over_larger_ones_whatever_their_order() -> None:
    # The second box covers 3 x 3 cells, its centre is in (1, 1). The first one lies in columns 0 and 1 of row 0, its
    # centre is in (0, 1); the third one, as large as the first, in rows 0 and 1 of column 0, its centre in (1, 0).
    wide, large, tall = (0.05, 0.02, 0.25, 0.125), (0.0, 0.0, 0.5, 0.5), (0.02, 0.05, 0.125, 0.25)
    smaller = encoded([wide, large], [3, 5], grid(6, overlap="smaller"))["class"]
    assert smaller[:3, :3].tolist() == [[3, 3, 5], [5, 5, 5], [5, 5, 5]]
    assert encoded([wide, large], [3, 5])["class"][:3, :3].tolist() == [[5, 3, 5], [5, 5, 5], [5, 5, 5]]
    later_of_alike = encoded([wide, tall, large], [3, 7, 5], grid(6, overlap="smaller"))["class"]
    assert later_of_alike[:3, :3].tolist() == [[7, 3, 5], [7, 5, 5], [5, 5, 5]]


def test_where_smaller_boxes_win_the_smaller_of_two_centres_in_a_cell_stays() -> None:
    small, large = (0.02, 0.02, 0.06, 0.1), (0.0, 0.0, 0.1, 0.1)
    decoded = round_trip([small, large], [5, 3], grid(6, overlap="smaller"))
    assert decoded.labels.tolist() == [5]
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx(small, abs=1e-6)


IN_ONE_CELL = [(0.02, 0.02, 0.06, 0.1), (0.0, 0.0, 0.1, 0.1), (0.04, 0.03, 0.05, 0.05), (0.01, 0.0, 0.12, 0.15)]
"""Of areas 0.006, 0.01, 0.0025 and 0.018, with their centres in the first of 6 x 6 cells."""


@pytest.mark.parametrize(
    ("overlap", "boxes_per_cell", "stay"),
    [
        ("later", 1, [3]),
        ("later", 2, [3, 2]),
        ("later", 3, [3, 1, 2]),
        ("later", 5, [3, 1, 0, 2]),
        ("smaller", 1, [2]),
        ("smaller", 2, [0, 2]),
    ],
)
def test_a_cell_answers_its_last_or_smallest_boxes_the_largest_first(
    overlap: str, boxes_per_cell: int, stay: list[int]
) -> None:
    targets = grid(6, overlap=overlap, boxes_per_cell=boxes_per_cell)
    arrays = encoded(IN_ONE_CELL, [1, 2, 3, 4], targets)
    assert arrays["box"].shape == (6, 6, 5 * boxes_per_cell)
    assert np.count_nonzero(arrays["box"]) == 5 * len(stay)
    decoded = round_trip(IN_ONE_CELL, [1, 2, 3, 4], targets)
    np.testing.assert_allclose(decoded.boxes_rel_xywh, [IN_ONE_CELL[box] for box in stay], atol=1e-6)
    # One class for the cell: that of the last or the smallest one.
    assert decoded.labels.tolist() == [4 if overlap == "later" else 3] * len(stay)
    assert decoded.rows.tolist() == [0] * len(stay)


def test_two_boxes_of_a_cell_by_hand() -> None:
    # Both centres are in column 2, row 4: (0.4, 0.75) x 6 = (2.4, 4.5) and (0.35, 0.8) x 6 = (2.1, 4.8).
    arrays = encoded([(0.3, 0.7, 0.2, 0.1), (0.2, 0.7, 0.3, 0.2)], [7, 8], grid(6, boxes_per_cell=3))
    numbers = arrays["box"][4, 2]
    assert numbers.tolist() == pytest.approx([0.1, 0.8, 0.3, 0.2, 1, 0.4, 0.5, 0.2, 0.1, 1, 0, 0, 0, 0, 0], abs=1e-6)
    assert not np.delete(arrays["box"].reshape(36, 15), 4 * 6 + 2, axis=0).any()


def test_every_box_of_a_cell_has_a_confidence_of_its_own() -> None:
    box = np.zeros((1, 2, 2, 10))
    box[0, 1, 0] = [0.5, 0.5, 0.4, 0.2, 0.9, 0.5, 0.5, 0.2, 0.4, 0.5]
    box[0, 0, 1] = [0.5, 0.5, 0.4, -0.2, 0.9, 0.5, 0.25, 0.5, 0.25, 0.8]  # the first one has a negative height
    decoded = decode({"box": box, "class": np.full((1, 2, 2, 3), [0.7, 0.1, 0.2])})
    assert decoded.labels.tolist() == [2, 2, 2]
    assert decoded.scores.tolist() == pytest.approx([0.8 * 0.2, 0.9 * 0.2, 0.5 * 0.2])
    expected = [[0.5, 0, 0.5, 0.25], [0.05, 0.65, 0.4, 0.2], [0.15, 0.55, 0.2, 0.4]]
    np.testing.assert_allclose(decoded.boxes_rel_xywh, expected, atol=1e-9)


@pytest.mark.parametrize("grid_size", [1, 6, 7, 20])
def test_a_centre_on_the_right_and_bottom_edge_belongs_to_the_last_cell(grid_size: int) -> None:
    targets = grid(grid_size)
    arrays = encoded([(0.9, 0.95, 0.2, 0.1)], [1], targets)
    assert arrays["box"][-1, -1].tolist() == pytest.approx([1, 1, 0.2, 0.1, 1])
    decoded = round_trip([(0.9, 0.95, 0.2, 0.1)], [1], targets)
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx([0.9, 0.95, 0.2, 0.1], abs=1e-6)


BOX = st.tuples(st.floats(0, 0.95), st.floats(0, 0.95), st.floats(0.001, 1), st.floats(0.001, 1)).map(
    lambda b: (b[0], b[1], min(b[2], 1 - b[0]), min(b[3], 1 - b[1]))
)


@given(st.lists(st.tuples(BOX, st.integers(1, NUM_LABELS - 1)), max_size=12), st.integers(1, 20))
def test_every_cell_gives_back_the_last_box_that_was_put_there(
    scene: list[tuple[tuple[float, ...], int]], grid_size: int
) -> None:
    last_in_cell = {}
    for (x, y, width, height), label in scene:
        column, row = (x + width / 2) * grid_size, (y + height / 2) * grid_size
        # A centre that rounding puts on the border of two cells may land in either.
        assume(abs(column % 1 - 0.5) < 0.499 and abs(row % 1 - 0.5) < 0.499)
        last_in_cell[int(row), int(column)] = ((x, y, width, height), label)
    decoded = round_trip([box for box, _ in scene], [label for _, label in scene], grid(grid_size))
    # Cells are decoded row by row.
    expected = [last_in_cell[cell] for cell in sorted(last_in_cell)]
    assert decoded.labels.tolist() == [label for _, label in expected]
    np.testing.assert_allclose(decoded.boxes_rel_xywh, np.reshape([box for box, _ in expected], (-1, 4)), atol=1e-4)
    assert (decoded.scores == 1).all()


@given(st.lists(BOX, max_size=8), st.integers(1, 4), st.sampled_from(["later", "smaller"]))
def test_with_as_many_boxes_per_cell_as_there_are_none_is_lost(
    boxes: list[tuple[float, ...]], grid_size: int, overlap: str
) -> None:
    decoded = round_trip(boxes, [1] * len(boxes), grid(grid_size, overlap=overlap, boxes_per_cell=8))
    assert len(decoded.labels) == len(boxes)
    np.testing.assert_allclose(
        sorted(decoded.boxes_rel_xywh[:, 2] * decoded.boxes_rel_xywh[:, 3]),
        sorted(width * height for _, _, width, height in boxes),
        rtol=1e-5,
    )


IGNORING = GRID_6.model_copy(update={"max_boxes": 2, "crowd": "ignore"})
# x 0.6 to 3.6 and y 1.2 to 4.2 in cells: the region touches columns 0 to 3 of rows 1 to 4.
REGION = (0.1, 0.2, 0.5, 0.5)
# centre (0.4, 0.75) x 6 = (2.4, 4.5): in column 2 of row 4, which the region touches; it touches column 1 as well
OBJECT = (0.3, 0.7, 0.2, 0.1)


def test_a_crowd_region_is_encoded_like_any_object_or_asks_nothing_of_its_cells() -> None:
    scene = truth([REGION, OBJECT], [5, 7], crowds=[0])
    published = encode(scene, GRID_6)
    plain = encode(truth([REGION, OBJECT], [5, 7]), GRID_6)
    for name in ("box", "class"):
        np.testing.assert_array_equal(published[name], plain[name])
    ignoring = encode(scene, IGNORING)
    confidence, labels = np.zeros((6, 6)), np.zeros((6, 6))
    confidence[1:5, 0:4] = labels[1:5, 0:4] = -1
    confidence[4, 2], labels[4, 2] = 1, 7
    np.testing.assert_array_equal(ignoring["box"][..., 4], confidence)
    np.testing.assert_array_equal(ignoring["class"], labels)
    assert ignoring["box"][4, 2].tolist() == pytest.approx([0.4, 0.5, 0.2, 0.1, 1.0])
    decoded = decode(as_outputs({name: array[None] for name, array in ignoring.items()}, NUM_LABELS))
    assert decoded.labels.tolist() == [7]


def test_ignored_crowd_regions_neither_suit_training_nor_count_as_boxes() -> None:
    assert examples(truth([REGION], crowds=[0]), IGNORING, training=True) == []
    assert [rows.tolist() for rows in examples(truth([REGION], crowds=[0]), IGNORING, training=False)] == [[0]]
    three = truth([REGION, OBJECT, OBJECT], crowds=[0])
    assert [rows.tolist() for rows in examples(three, IGNORING, training=True)] == [[0, 1, 2]]
    assert examples(three, GRID_6.model_copy(update={"max_boxes": 2}), training=True) == []


def test_scores_are_confidence_times_probability_and_nothing_is_never_an_answer() -> None:
    box = np.zeros((1, 2, 2, 5))
    box[0, 0, 1] = [0.5, 0.25, 0.5, 0.25, 0.8]
    box[0, 1, 0] = [0.5, 0.5, -0.1, 0.2, 0.9]  # negative width
    box[0, 1, 1] = [0.5, 0.5, 0.1, 0.2, -0.3]  # negative confidence
    probabilities = np.full((1, 2, 2, 3), [0.7, 0.1, 0.2])  # label 0, nothing, is the most probable
    decoded = decode({"box": box, "class": probabilities})
    assert decoded.rows.tolist() == [0]
    assert decoded.labels.tolist() == [2]
    assert decoded.scores.tolist() == pytest.approx([0.8 * 0.2])
    # centre x = (1 + 0.5) / 2, y = (0 + 0.25) / 2
    left, top, right, bottom = xywh_to_xyxy(decoded.boxes_rel_xywh)[0]
    assert [left, top, right, bottom] == pytest.approx([0.5, 0.0, 1.0, 0.25])


def test_labels_are_category_ids_with_their_gaps() -> None:
    assert label_to_category_id([1, 2, 4, 7]).tolist() == [0, 1, 2, 0, 4, 0, 0, 7]
    coco_ids = [*range(1, 91)]
    assert len(label_to_category_id(coco_ids)) == 91


@pytest.mark.parametrize(
    ("num_boxes", "max_boxes", "suits"), [(0, 4, False), (1, 4, True), (4, 4, True), (5, 4, False), (63, None, True)]
)
def test_which_images_are_trained_on(num_boxes: int, max_boxes: int | None, suits: bool) -> None:
    chosen = examples(
        truth(np.ones((num_boxes, 4))), GRID_6.model_copy(update={"max_boxes": max_boxes}), training=True
    )
    assert [example.tolist() for example in chosen] == ([list(range(num_boxes))] if suits else [])
