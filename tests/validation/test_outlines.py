"""Outlines measured by pycocotools, and what it never gets to see."""

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from pipeline.validation.outlines import MAX_PERIMETER_PIXELS, OutlineError, decompress_counts, measure_outlines
from tests.support.scenes import box
from tests.support.validation_scene import BOXES, checked, result_of, violation_counts


def measure(outline: Any, height: int = 40, width: int = 60) -> dict[str, Any]:
    text = outline if isinstance(outline, str) else json.dumps(outline)
    column = pa.chunked_array([pa.array([text], pa.large_string())])
    [row] = measure_outlines(column, np.array([height]), np.array([width])).to_pylist()
    return {name.removeprefix("outline_"): value for name, value in row.items()}


SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]
MEASURED = {"problem": None, "x": 10, "y": 5, "width": 20, "height": 20, "area": 400}


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Uncompressed: column by column, background first."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    counts = np.diff(np.concatenate([[0], edges, [flat.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def test_polygons_and_both_forms_of_run_lengths_measure_alike() -> None:
    mask = np.zeros((40, 60), np.uint8, order="F")
    mask[5:25, 10:30] = 1
    compressed = coco_mask.encode(mask)
    assert measure([SQUARE]) == MEASURED
    assert measure(run_lengths(mask)) == MEASURED
    assert measure({"counts": compressed["counts"].decode(), "size": [40, 60]}) == MEASURED


def test_parts_of_an_object_are_measured_together() -> None:
    assert measure([SQUARE, [40, 30, 50, 30, 50, 35, 40, 35]]) == {**MEASURED, "width": 40, "height": 30, "area": 450}


def test_outline_without_pixels_has_no_box() -> None:
    assert measure([[10, 5, 30, 5, 20, 5]]) == {**dict.fromkeys(MEASURED), "area": 0}


def test_nothing_is_measured_without_an_outline_or_an_image() -> None:
    column = pa.chunked_array([pa.array([None, json.dumps([SQUARE])], pa.large_string())])
    measured = measure_outlines(column, np.array([40, 0]), np.array([60, 0]))
    assert [set(row.values()) for row in measured.to_pylist()] == [{None}, {None}]


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1)))
def test_compressed_counts_are_those_of_pycocotools(mask: np.ndarray) -> None:
    compressed = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    counts = decompress_counts(compressed)
    flat = np.repeat(np.arange(len(counts)) % 2, counts)
    np.testing.assert_array_equal(flat.reshape(mask.shape, order="F"), mask)


ZIGZAG = [coordinate for _ in range(20_000) for coordinate in (0, 0, 60, 40)]


@pytest.mark.parametrize(
    ("outline", "problem"),
    [
        ([[1, 2, 3, 4]], "a polygon of 4 numbers, expected three or more points of x and y"),
        ([SQUARE, [1, 2, 3, 4, 5, 6, 7]], "a polygon of 7 numbers, expected three or more points of x and y"),
        ([[]], "a polygon of 0 numbers, expected three or more points of x and y"),
        ("[ ]", "no polygon"),
        ([[1, 2, 1e9, 2, 1, 3]], "a coordinate of 1e+09, far outside of the image of 60 x 40"),
        ([[-61, 2, 9, 2, 1, 3]], "a coordinate of -61, far outside of the image of 60 x 40"),
        ([ZIGZAG], f"a perimeter above {MAX_PERIMETER_PIXELS:,} pixels"),
        ([[1, "2", 3, 4, 5, 6]], "neither polygons nor run lengths: Expected `float`, got `str` - at `$[0][1]`"),
        ("[[1e999, 2, 3, 4, 5, 6]]", "neither polygons nor run lengths: Number out of range - at `$[0][0]`"),
        (SQUARE, "neither polygons nor run lengths: Expected `array`, got `int` - at `$[0]`"),
        pytest.param(
            '{"size": [40, 60], "counts": [2400], "x": ' + "[" * 10_000 + "]" * 10_000 + "}",
            "neither polygons nor run lengths: maximum recursion depth exceeded while deserializing an object",
            id="deep",
        ),
        pytest.param(
            "[[" + "1," * (8 << 20) + "1]]",
            "16,777,221 characters, the limit is 16,777,216",
            id="longer than the limit",
        ),
        ("7", "neither polygons nor run lengths: Expected `object | array`, got `int`"),
        ({"size": [40, 60]}, "neither polygons nor run lengths: Object missing required field `counts`"),
        ({"size": [60, 40], "counts": [2400]}, "run lengths of 40 x 60 pixels, the image has 60 x 40"),
        ({"size": [40, 60], "counts": [2399]}, "run lengths of 2399 pixels, the image has 2400"),
        ({"size": [40, 60], "counts": []}, "run lengths of 0 pixels, the image has 2400"),
        (
            {"size": [40, 60], "counts": [2401, -1]},
            "neither polygons nor run lengths: Expected `int` >= 0 - at `$.counts[1]`",
        ),
        ({"size": [40, 60], "counts": "X"}, "compressed run lengths that end inside a number"),
        ({"size": [40, 60], "counts": "oooooooo"}, "compressed run lengths with 'o' at an impossible place"),
        ({"size": [40, 60], "counts": "1 2"}, "compressed run lengths with ' ' at an impossible place"),
        ({"size": [40, 60], "counts": "12"}, "run lengths of 3 pixels, the image has 2400"),
    ],
)
def test_malformed_outline_is_told_and_never_measured(outline: Any, problem: str) -> None:
    assert measure(outline) == {**dict.fromkeys(MEASURED), "problem": problem}


def test_image_of_too_many_pixels_is_not_measured() -> None:
    assert measure([SQUARE], 2**16, 2**16)["problem"] == "an image of 65536 x 65536 pixels, the limit is 4,294,967,295"


hostile_numbers = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 70)
hostile = (
    st.lists(st.lists(hostile_numbers, max_size=9), max_size=3)
    | st.fixed_dictionaries(
        {
            "size": st.just([40, 60]) | st.lists(hostile_numbers, max_size=3),
            "counts": st.lists(st.integers(-3, 2400), max_size=6) | st.text(st.characters(codec="ascii"), max_size=12),
        }
    )
    | st.recursive(st.none() | hostile_numbers | st.text(), st.lists, max_leaves=5)
)


@given(hostile)
def test_any_outline_is_measured_within_its_image_or_refused(outline: Any) -> None:
    row = measure(outline)
    assert row["problem"] is None or row["area"] is None
    if row["area"] is not None:
        assert 0 <= row["area"] <= 2400
    if row["x"] is not None:
        assert 0 <= row["x"] <= row["x"] + row["width"] <= 60
        assert 0 <= row["y"] <= row["y"] + row["height"] <= 40


@given(st.text(st.characters(codec="ascii"), max_size=20))
def test_any_text_is_decompressed_or_refused(text: str) -> None:
    try:
        counts = decompress_counts(text)
    except OutlineError:
        return
    assert all(isinstance(count, int) for count in counts)


# --- the checks ---------------------------------------------------------------------------------------------------

OUTLINED = box(2, 7, 5, (10, 5, 20, 20)) | {"area": 400.0}


@pytest.mark.parametrize(
    ("changes", "violates"),
    [
        ({}, False),
        ({"x": 8.0, "width": 22.0}, False),
        ({"x": 7.9, "width": 22.1}, True),
        ({"y": 7.1}, True),
        ({"width": 22.0, "height": 18.0}, False),
        ({"width": 22.1}, True),
        ({"height": 17.9}, True),
        # 10 % of 400 and a border of 2 pixels around 20 x 20
        ({"area": 400.0 + 40 + 160}, False),
        ({"area": 400.0 + 40 + 161}, True),
        ({"area": 400.0 - 40 - 161}, True),
        ({"outline": None, "x": 100.0}, False),
        ({"outline": "[[10, 5, 30, 5, 20, 5]]"}, True),  # no pixels, but an area of 400
    ],
)
def test_box_and_area_are_compared_with_the_outline(changes: dict[str, Any], violates: bool) -> None:
    row = {**OUTLINED, "outline": json.dumps([SQUARE]), **changes}
    limits = {"severity": "warning", "tolerance_pixels": 2, "tolerance_fraction": 0.1}
    off = {"severity": "off"}
    counts = violation_counts(checked(boxes=[*BOXES, row], box_differs_from_outline=limits, box_area_exceeds_box=off))
    assert counts == ({"box_differs_from_outline": 1} if violates else {})


def test_violation_names_box_and_outline() -> None:
    row = {**OUTLINED, "outline": json.dumps([SQUARE]), "x": 30.0}
    assert result_of(checked(boxes=[*BOXES, row]), "box_differs_from_outline").examples == (
        "boxes row 5, box 2 of 000000000007.jpg in val: x 30, y 5, width 20, height 20, area 400, outline_x 10, "
        "outline_y 5, outline_width 20, outline_height 20, outline_area 400",
    )


def test_box_with_a_malformed_outline_is_kept_with_it() -> None:
    row = {**OUTLINED, "outline": "[[1, 2]]"}
    validation = checked(boxes=[*BOXES, row, box(3, 7, 5, (1, 2, math.nan, 4)) | {"outline": "[[3, 4]]"}])
    assert result_of(validation, "outline_malformed").examples == (
        "boxes row 5, box 2 of 000000000007.jpg in val: outline_problem a polygon of 2 numbers, expected three or more "
        "points of x and y",
    )
    assert validation.accepted.boxes["outline"].to_pylist() == [None] * 4 + ["[[1, 2]]"]
    assert '"outline"' not in validation.quarantine["row"][0].as_py()


def test_outlines_are_not_measured_if_no_check_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.validation.run_checks.measure_outlines", None)
    off = {"severity": "off"}
    rows = [*BOXES, {**OUTLINED, "outline": "[[1, 2]]"}]
    assert checked(boxes=rows, outline_malformed=off, box_differs_from_outline=off).accepted.boxes.num_rows == 5
