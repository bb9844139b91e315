"""Shapes around objects as annotation tools have them, and what a row of boxes has of them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

Point = tuple[float, float]
"""x and y in pixels."""

BoxXywh = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""


class Shape(NamedTuple):
    """What a row of boxes has of a shape.

    Attributes:
        box_xywh: the smallest box around it.
        area: in square pixels; None if it is that of the box.
        outline: polygons as JSON, a list of x, y, x, y, ... for each; None if the shape is no polygon.

    """

    box_xywh: BoxXywh
    area: float | None = None
    outline: str | None = None


def box_around(points: Sequence[Point]) -> BoxXywh:
    """The smallest box around at least one point."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def polygons(corners: Sequence[Sequence[Point]]) -> Shape:
    """One or more polygons of one object, by the corners of each."""
    flat = [[coordinate for point in polygon for coordinate in point] for polygon in corners]
    box_xywh = box_around([point for polygon in corners for point in polygon])
    return Shape(box_xywh, sum(map(_area, corners)), msgspec.json.encode(flat).decode())


def ellipse(x: float, y: float, radius_x: float, radius_y: float, radians: float = 0.0) -> Shape:
    """An ellipse by its center and its radii, which is turned by an angle."""
    half_width = math.hypot(radius_x * math.cos(radians), radius_y * math.sin(radians))
    half_height = math.hypot(radius_x * math.sin(radians), radius_y * math.cos(radians))
    box_xywh = (x - half_width, y - half_height, 2 * half_width, 2 * half_height)
    return Shape(box_xywh, math.pi * radius_x * radius_y)


def rotated_box(box_xywh: BoxXywh, radians: float, pivot: Point) -> Shape:
    """A box that is turned clockwise around a point."""
    if radians == 0:
        return Shape(box_xywh)
    x, y, width, height = box_xywh
    cos, sin = math.cos(radians), math.sin(radians)
    from_pivot = [
        (left - pivot[0], top - pivot[1])
        for left, top in ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    ]
    return polygons([[(pivot[0] + dx * cos - dy * sin, pivot[1] + dx * sin + dy * cos) for dx, dy in from_pivot]])


def _area(polygon: Sequence[Point]) -> float:
    """By the shoelace formula, around the first corner, since far from the origin it would lose digits."""
    first_x, first_y = polygon[0]
    moved = [(x - first_x, y - first_y) for x, y in polygon]
    pairs = zip(moved, moved[1:] + moved[:1], strict=True)
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairs)) / 2
