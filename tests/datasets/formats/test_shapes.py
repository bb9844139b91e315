import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.formats.shapes import Point, box_around, ellipse, polygons, rotated_box

points = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))


def test_polygons_of_a_triangle_and_a_square() -> None:
    triangle = [(0.0, 0.0), (4.0, 0.0), (0.0, 3.0)]
    square = [(10.0, 5.0), (10.0, 7.0), (12.0, 7.0), (12.0, 5.0)]
    shape = polygons([triangle, square])
    assert shape.box_xywh == (0, 0, 12, 7)
    assert shape.area == 6 + 4
    assert shape.outline == "[[0.0,0.0,4.0,0.0,0.0,3.0],[10.0,5.0,10.0,7.0,12.0,7.0,12.0,5.0]]"


@given(st.lists(points, min_size=1, max_size=6))
def test_box_holds_all_points(polygon: list[Point]) -> None:
    x, y, width, height = box_around(polygon)
    assert all(x <= point[0] <= x + width + 1e-6 and y <= point[1] <= y + height + 1e-6 for point in polygon)
    assert {x, y} <= {coordinate for point in polygon for coordinate in point}


@given(points, st.integers(3, 8), st.floats(1, 100))
def test_area_of_a_regular_polygon_is_the_same_anywhere_and_in_both_directions(
    center: Point, corners: int, radius: float
) -> None:
    angles = [math.tau * corner / corners for corner in range(corners)]
    polygon = [(center[0] + radius * math.cos(angle), center[1] + radius * math.sin(angle)) for angle in angles]
    expected = corners / 2 * radius**2 * math.sin(math.tau / corners)
    assert polygons([polygon]).area == pytest.approx(expected, rel=1e-6)
    assert polygons([polygon[::-1]]).area == pytest.approx(expected, rel=1e-6)


def test_ellipse_that_is_turned_by_a_right_angle_exchanges_its_radii() -> None:
    assert ellipse(10, 20, 3, 5) == ((7, 15, 6, 10), pytest.approx(math.pi * 15), None)
    box_xywh, area, _ = ellipse(10, 20, 3, 5, math.pi / 2)
    assert box_xywh == pytest.approx((5, 17, 10, 6))
    assert area == pytest.approx(math.pi * 15)


def test_box_is_turned_clockwise() -> None:
    assert rotated_box((1, 2, 3, 4), 0, (0, 0)) == ((1, 2, 3, 4), None, None)
    center = rotated_box((10, 20, 4, 2), math.pi / 2, (12, 21))
    assert center.box_xywh == pytest.approx((11, 19, 2, 4))
    assert center.area == pytest.approx(8)
    # The right top corner goes down: y points down.
    corner = rotated_box((10, 20, 4, 2), math.pi / 2, (10, 20))
    assert corner.box_xywh == pytest.approx((8, 20, 2, 4))
    diamond = rotated_box((-1, -1, 2, 2), math.pi / 4, (0, 0))
    assert diamond.box_xywh == pytest.approx((-math.sqrt(2), -math.sqrt(2), 2 * math.sqrt(2), 2 * math.sqrt(2)))
    assert diamond.area == pytest.approx(4)


@given(points, st.floats(1, 100), st.floats(1, 100), st.floats(-7, 7))
def test_turned_box_keeps_its_area(center: Point, width: float, height: float, radians: float) -> None:
    box_xywh = (center[0] - width / 2, center[1] - height / 2, width, height)
    turned = rotated_box(box_xywh, radians, center)
    assert (turned.area or width * height) == pytest.approx(width * height, rel=1e-6)
    assert turned.box_xywh[2] >= min(width, height) * (1 - 1e-6)
