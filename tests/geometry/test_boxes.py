import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from pipeline.geometry.boxes import as_boxes, medoid_box, paired_iou, xywh_to_xyxy, xyxy_to_xywh

COORDINATE = st.floats(-1e4, 1e4)
SIDE = st.floats(0.01, 1e4)
BOX_XYWH = st.tuples(COORDINATE, COORDINATE, SIDE, SIDE)
BOXES_XYWH = st.lists(BOX_XYWH, max_size=8)


def test_box_formats_convert_both_ways() -> None:
    assert xywh_to_xyxy([[10, 20, 30, 5], [0, 0, 1, 2]]).tolist() == [[10, 20, 40, 25], [0, 0, 1, 2]]
    assert xyxy_to_xywh([[10, 20, 40, 25]]).tolist() == [[10, 20, 30, 5]]


def test_empty_input_gives_empty_boxes() -> None:
    for convert in (as_boxes, xywh_to_xyxy, xyxy_to_xywh):
        assert convert([]).shape == (0, 4)
        assert convert([]).dtype == np.float64
    assert paired_iou([], []).shape == (0,)


def test_inverted_box_keeps_negative_width() -> None:
    assert xyxy_to_xywh([[40, 20, 10, 25]]).tolist() == [[40, 20, -30, 5]]


@given(BOXES_XYWH)
def test_conversion_round_trip(boxes_xywh: list[tuple[float, ...]]) -> None:
    restored = xyxy_to_xywh(xywh_to_xyxy(boxes_xywh))
    np.testing.assert_allclose(restored, as_boxes(boxes_xywh), atol=1e-8)


@pytest.mark.parametrize(
    ("box_a_xyxy", "box_b_xyxy", "expected"),
    [
        pytest.param((0, 0, 4, 2), (0, 0, 4, 2), 1.0, id="equal"),
        pytest.param((0, 0, 4, 2), (2, 0, 6, 2), 4 / 12, id="half overlapping"),
        pytest.param((0, 0, 4, 2), (1, 1, 3, 2), 2 / 8, id="inside"),
        pytest.param((0, 0, 4, 2), (4, 0, 8, 2), 0.0, id="touching edges"),
        pytest.param((0, 0, 4, 2), (9, 9, 10, 12), 0.0, id="apart"),
        pytest.param((0, 0, 4, 2), (4, 2, 0, 0), 0.0, id="inverted"),
        pytest.param((3, 3, 3, 3), (3, 3, 3, 3), 0.0, id="without area"),
    ],
)
def test_paired_iou_of_hand_computed_boxes(
    box_a_xyxy: tuple[float, ...], box_b_xyxy: tuple[float, ...], expected: float
) -> None:
    assert paired_iou([box_a_xyxy], [box_b_xyxy]).tolist() == [expected]


def test_one_pixel_shift_in_x_and_y_lowers_iou_of_a_digit_by_an_eighth() -> None:
    # 27 x 27 / (2 x 28 x 28 - 27 x 27)
    assert paired_iou([[10, 10, 38, 38]], [[11, 11, 39, 39]])[0] == pytest.approx(729 / 839)


@given(st.lists(st.tuples(BOX_XYWH, BOX_XYWH), min_size=1, max_size=8))
def test_paired_iou_is_symmetric_bounded_and_equals_pycocotools(
    pairs: list[tuple[tuple[float, ...], tuple[float, ...]]],
) -> None:
    a_xywh, b_xywh = as_boxes([a for a, _ in pairs]), as_boxes([b for _, b in pairs])
    overlaps = paired_iou(xywh_to_xyxy(a_xywh), xywh_to_xyxy(b_xywh))
    np.testing.assert_array_equal(overlaps, paired_iou(xywh_to_xyxy(b_xywh), xywh_to_xyxy(a_xywh)))
    assert ((overlaps >= 0) & (overlaps <= 1)).all()
    expected = coco_mask.iou(a_xywh, b_xywh, np.zeros(len(pairs), np.uint8)).diagonal()
    np.testing.assert_allclose(overlaps, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("boxes_xyxy", "expected"),
    [
        pytest.param([(5, 5, 9, 9)], 0, id="single box"),
        pytest.param([(0, 0, 4, 2), (2, 0, 6, 2), (4, 0, 8, 2)], 1, id="overlaps both others"),
        pytest.param([(0, 0, 9, 9), (20, 0, 30, 5), (20, 0, 30, 4), (20, 0, 30, 3)], 2, id="the middle of three"),
        pytest.param([(0, 0, 1, 1), (5, 5, 6, 6), (8, 8, 9, 9)], 0, id="first of a tie"),
        pytest.param([(4, 4, 0, 0), (0, 0, 4, 4)], 1, id="an inverted box overlaps nothing, not even itself"),
    ],
)
def test_medoid_box_of_hand_computed_boxes(boxes_xyxy: list[tuple[int, ...]], expected: int) -> None:
    assert medoid_box(boxes_xyxy) == expected


@given(st.lists(BOX_XYWH, min_size=1, max_size=8))
def test_medoid_box_has_largest_mean_iou(boxes_xywh: list[tuple[float, ...]]) -> None:
    chosen = medoid_box(xywh_to_xyxy(boxes_xywh))
    overlaps = coco_mask.iou(as_boxes(boxes_xywh), as_boxes(boxes_xywh), np.zeros(len(boxes_xywh), np.uint8))
    assert overlaps[chosen].mean() >= overlaps.mean(axis=1).max() - 1e-6
