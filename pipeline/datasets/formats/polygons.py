"""Polygons around objects: their boxes, areas and outlines as COCO has them."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

Point = tuple[float, float]
"""x and y in pixels."""

BoxXywh = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""


class Outline(NamedTuple):
    """What a row of boxes has of polygons.

    Attributes:
        box_xywh: the smallest box around them.
        area: of all of them, in square pixels.
        text: their corners as JSON: a list of x, y, x, y, ... per polygon.

    """

    box_xywh: BoxXywh
    area: float
    text: str


def outline_of(polygons: Sequence[Sequence[Point]]) -> Outline:
    """The outline of one or more polygons of one object, each with at least one corner."""
    corners = [[coordinate for point in polygon for coordinate in point] for polygon in polygons]
    box_xywh = box_around([point for polygon in polygons for point in polygon])
    return Outline(box_xywh, sum(map(_area, polygons)), msgspec.json.encode(corners).decode())


def box_around(points: Sequence[Point]) -> BoxXywh:
    """The smallest box around at least one point."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _area(polygon: Sequence[Point]) -> float:
    """By the shoelace formula, around the first corner, since far from the origin it would lose digits."""
    first_x, first_y = polygon[0]
    moved = [(x - first_x, y - first_y) for x, y in polygon]
    pairs = zip(moved, moved[1:] + moved[:1], strict=True)
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairs)) / 2
