import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.formats.polygons import Point, box_around, outline_of

points = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))


def test_outline_of_a_triangle_and_a_square() -> None:
    triangle = [(0.0, 0.0), (4.0, 0.0), (0.0, 3.0)]
    square = [(10.0, 5.0), (10.0, 7.0), (12.0, 7.0), (12.0, 5.0)]
    outline = outline_of([triangle, square])
    assert outline.box_xywh == (0, 0, 12, 7)
    assert outline.area == 6 + 4
    assert outline.text == "[[0.0,0.0,4.0,0.0,0.0,3.0],[10.0,5.0,10.0,7.0,12.0,7.0,12.0,5.0]]"


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
    assert outline_of([polygon]).area == pytest.approx(expected, rel=1e-6)
    assert outline_of([polygon[::-1]]).area == pytest.approx(expected, rel=1e-6)
