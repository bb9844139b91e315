from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.systems.common.box_losses import generalized_iou_xyxy, iou_xyxy, xxyy_to_xyxy

SIDE = 12
COORDINATE = st.integers(0, SIDE)
ANY_BOX = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE)


def value(overlap: Callable[..., Any], box_a: object, box_b: object) -> float:
    return float(overlap(np.float32(box_a), np.float32(box_b)))


def painted(box_xyxy: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels of a box with integer coordinates; an inverted box has none."""
    left, top, right, bottom = box_xyxy
    pixels = np.zeros((SIDE, SIDE), bool)
    pixels[top:bottom, left:right] = True
    return pixels


@pytest.mark.parametrize(
    ("box_a", "box_b", "iou", "generalized"),
    [
        pytest.param((0, 0, 4, 2), (0, 0, 4, 2), 1, 1, id="equal"),
        pytest.param((0, 0, 4, 2), (2, 0, 6, 2), 4 / 12, 4 / 12, id="half overlap"),
        pytest.param((0, 0, 4, 2), (2, 1, 6, 4), 2 / 18, 2 / 18 - 6 / 24, id="overlapping corners"),
        pytest.param((0, 0, 4, 2), (1, 1, 3, 2), 2 / 8, 2 / 8, id="inside"),
        pytest.param((0, 0, 4, 2), (4, 0, 8, 2), 0, 0, id="touching edges"),
        pytest.param((0, 0, 4, 2), (9, 8, 10, 12), 0, -(120 - 12) / 120, id="apart"),
        pytest.param((0, 0, 4, 2), (4, 2, 0, 0), 0, 0, id="inverted, with an inverted enclosing box"),
        pytest.param((0, 0, 4, 2), (10, 0, 5, 2), 0, -(10 - 8) / 10, id="inverted and apart"),
        pytest.param((3, 3, 3, 3), (3, 3, 3, 3), 0, 0, id="without area"),
    ],
)
def test_iou_by_hand(box_a: tuple[int, ...], box_b: tuple[int, ...], iou: float, generalized: float) -> None:
    assert value(iou_xyxy, box_a, box_b) == pytest.approx(iou, abs=1e-6)
    assert value(generalized_iou_xyxy, box_a, box_b) == pytest.approx(generalized, abs=1e-6)


@given(st.lists(st.tuples(ANY_BOX, ANY_BOX), min_size=1, max_size=20))
@settings(max_examples=30)
def test_iou_equals_counted_pixels(pairs: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    boxes_a, boxes_b = np.swapaxes(np.float32(pairs), 0, 1)
    ious, generalized = np.asarray(iou_xyxy(boxes_a, boxes_b)), np.asarray(generalized_iou_xyxy(boxes_a, boxes_b))
    for (box_a, box_b), iou, generalized_iou in zip(pairs, ious, generalized, strict=True):
        both, either = painted(box_a) & painted(box_b), painted(box_a) | painted(box_b)
        assert iou == pytest.approx(both.sum() / max(either.sum(), 1), abs=1e-6)
        if painted(box_a).any() and painted(box_b).any():
            (top, left), (bottom, right) = np.argwhere(either).min(axis=0), np.argwhere(either).max(axis=0) + 1
            enclosing = (right - left) * (bottom - top)
            assert generalized_iou == pytest.approx(iou - (enclosing - either.sum()) / enclosing, abs=1e-6)
    np.testing.assert_array_equal(generalized, np.asarray(generalized_iou_xyxy(boxes_b, boxes_a)))
    assert ((generalized >= -1) & (generalized <= ious)).all()


def test_boxes_broadcast() -> None:
    a = np.float32([[0, 0, 4, 2], [2, 0, 6, 2], [4, 0, 8, 2]])[:, None]
    b = np.float32([[0, 0, 4, 2], [0, 0, 8, 2]])
    expected = [[1, 1 / 2], [1 / 3, 1 / 2], [0, 1 / 2]]
    np.testing.assert_allclose(np.asarray(iou_xyxy(a, b)), expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(generalized_iou_xyxy(a, b)), expected, atol=1e-6)


def test_iou_is_float32_for_every_input_dtype() -> None:
    for overlap in (iou_xyxy, generalized_iou_xyxy):
        iou = overlap(np.float16([[0, 0, 4, 2]]), np.float64([[2, 0, 6, 2]]))
        assert np.asarray(iou).dtype == np.float32


def test_edges_are_reordered_to_corners() -> None:
    assert np.asarray(xxyy_to_xyxy(np.float32([[1, 2, 3, 4]]))).tolist() == [[1, 3, 2, 4]]
