"""LabelMe as its tools write it: shapes, groups, names of images, and what is refused or passed over."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.labelme_reader import LabelmeOptions, LabelmeReader
from tests.support.dataset_folders import boxes_of, passed_over, png, refused, splits_of, write_tree

PNG = png(30, 20)


def shape(kind: str | None, *points: tuple[float, float], label: str = "cat", **more: object) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "flags": {}, "group_id": None, **more}


BOX = shape("rectangle", (1, 2), (4, 6))


def labelme(*shapes: object, path: str = "1.png", **more: object) -> str:
    content = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": path,
        "imageData": "iVBORw0KGgo=",
        "imageHeight": 20,
        "imageWidth": 30,
    }
    return json.dumps(content | more)


def read(root: Path, files: dict[str, bytes | str], classes: tuple[str, ...] = ()) -> Reading:
    return LabelmeReader().read(write_tree(root, files), LabelmeOptions(), classes)


def test_shapes_become_boxes_with_the_outlines_of_polygons(tmp_path: Path) -> None:
    content = labelme(
        shape("rectangle", (4, 6), (1, 2)),
        shape("rectangle", (1, 6), (4, 6), (4, 2), (1, 2)),
        shape("polygon", (0, 0), (4, 0), (0, 3), label="dog"),
        {"label": "eel", "points": [[0, 0], [2, 0], [2, 2], [0, 2]]},
        shape("circle", (10, 10), (13, 14)),
        shape("mask", (5, 6), (7, 9), mask="iVBORw0KGgo="),
        shape("rotation", (5, 0), (10, 5), (5, 10), (0, 5), direction=0.8),
    )
    reading = read(tmp_path, {"1.json": content, "1.png": PNG})
    assert boxes_of(reading) == [
        ("1.png", "cat", (1, 2, 3, 4), "1.json", 1),
        ("1.png", "cat", (1, 2, 3, 4), "1.json", 2),
        ("1.png", "dog", (0, 0, 4, 3), "1.json", 3),
        ("1.png", "eel", (0, 0, 2, 2), "1.json", 4),
        ("1.png", "cat", (5, 5, 10, 10), "1.json", 5),
        ("1.png", "cat", (5, 6, 3, 4), "1.json", 6),
        ("1.png", "cat", (0, 0, 10, 10), "1.json", 7),
    ]
    boxes = reading.tables.boxes
    assert boxes["area"].to_pylist() == [12, 12, 6, 4, pytest.approx(25 * math.pi), 12, 50]
    assert boxes["outline"].to_pylist() == [
        None,
        None,
        "[[0.0,0.0,4.0,0.0,0.0,3.0]]",
        "[[0.0,0.0,2.0,0.0,2.0,2.0,0.0,2.0]]",
        None,
        None,
        "[[5.0,0.0,10.0,5.0,5.0,10.0,0.0,5.0]]",
    ]
    assert reading.box_locations["element"].to_pylist() == ["shape"] * 7
    assert (refused(reading), passed_over(reading)) == ([], {})


def test_polygons_of_one_class_and_group_are_one_object(tmp_path: Path) -> None:
    left, right = [(0, 0), (4, 0), (0, 3)], [(10, 5), (10, 7), (12, 7), (12, 5)]
    content = labelme(
        shape("polygon", *left, group_id=1),
        shape("polygon", *left, group_id=2),
        shape("polygon", *right, group_id=1),
        shape("polygon", *right, group_id=1, label="dog"),
        shape("rectangle", *right[:2], group_id=1),
    )
    reading = read(tmp_path, {"1.json": content, "1.png": PNG})
    assert [(name, box, number) for _, name, box, _, number in boxes_of(reading)] == [
        ("cat", (0, 0, 12, 7), 1),
        ("cat", (0, 0, 4, 3), 2),
        ("dog", (10, 5, 2, 2), 4),
        ("cat", (10, 5, 0, 2), 5),
    ]
    assert reading.tables.boxes["area"].to_pylist() == [10, 6, 4, 0]
    assert passed_over(reading) == {"polygons that are parts of others": (1, "'1.json, shape 3: cat'")}


def test_points_and_lines_are_passed_over(tmp_path: Path) -> None:
    shapes = [shape(kind, (1, 1)) for kind in ("point", "line", "linestrip", "points")]
    reading = read(tmp_path, {"1.json": labelme(*shapes, BOX), "1.png": PNG})
    assert [number for *_, number in boxes_of(reading)] == [5]
    assert passed_over(reading)["points and lines"][0] == 4


@pytest.mark.parametrize(
    ("element", "problem"),
    [
        pytest.param(shape("rectangle", (1, 2)), "it has 1 point, and 2 are needed", id="one corner"),
        pytest.param(shape("polygon", (1, 2), (3, 4)), "it has 2 points, and 3 are needed", id="two corners"),
        pytest.param(shape(None), "it has 0 points, and 3 are needed", id="no corners"),
        pytest.param(
            shape("cuboid", (1, 2), (3, 4)),
            "its shape_type is 'cuboid', which is none of rectangle, circle, mask, polygon, rotation, point, points, "
            "line, linestrip",
            id="another type",
        ),
        pytest.param(shape("rectangle", (1, 2, 3), (4, 5, 6)), "its points are not pairs of numbers", id="3 numbers"),
        pytest.param(shape("rectangle", ("a", 2), (4, 5)), "its points are not pairs of numbers", id="text"),
        pytest.param(shape("rectangle", (float("nan"), 2), (4, 5)), "its points are not pairs of numbers", id="NaN"),
        pytest.param(shape("rectangle", (1e10, 2), (4, 5)), "its points are not pairs of numbers", id="huge"),
        pytest.param(shape("rectangle", (1, 2), (4, 5), label=" "), "its label is empty", id="no class"),
        pytest.param({"label": "cat"}, "Object missing required field `points`", id="no points"),
        pytest.param(7, "Expected `object`, got `int`", id="no shape"),
        pytest.param(
            shape("rectangle", (1, 2), (4, 5), label=["a"]),
            "Expected `int | str`, got `array` - at `$.label`",
            id="list",
        ),
    ],
)
def test_shape_that_cannot_be_read_is_refused_alone(tmp_path: Path, element: object, problem: str) -> None:
    reading = read(tmp_path, {"1.json": labelme(BOX, element, BOX), "1.png": PNG})
    assert [number for *_, number in boxes_of(reading)] == [1, 3]
    [row] = reading.refused.to_pylist()
    assert (row["file"], row["element"], row["number"], row["file_name"]) == ("1.json", "shape", 2, "1.png")
    assert row["reason"].startswith("received ")
    assert row["reason"].endswith(f", expected a labeled shape: {problem}")


@pytest.mark.parametrize("path", ["1.png", "..\\JPEGImages\\1.png", "C:\\me\\1.png", "", "0.png"])
def test_image_is_the_one_with_the_stem_of_the_file(tmp_path: Path, path: str) -> None:
    reading = read(tmp_path, {"labels/1.json": labelme(BOX, path=path), "images/1.png": PNG})
    assert list(splits_of(reading)) == ["images/1.png"]


def test_image_with_another_stem_is_found_by_its_path(tmp_path: Path) -> None:
    files = {"train/a.json": labelme(BOX, path="..\\images\\1.png"), "images/1.png": PNG, "other/1.png": PNG}
    assert splits_of(read(tmp_path, files)) == {"images/1.png": "train"}


@pytest.mark.parametrize(
    "sizes", [{"imageHeight": None}, {"imageWidth": "x"}, {"imageWidth": 0}, {"imageWidth": 1e300}]
)
def test_size_that_is_not_stated_is_that_of_the_file(tmp_path: Path, sizes: dict[str, object]) -> None:
    images = read(tmp_path, {"1.json": labelme(BOX, **sizes), "1.png": png(7, 5)}).tables.images
    assert (images["width"].to_pylist(), images["height"].to_pylist()) == ([7], [5])


def test_other_files_are_passed_over_or_refused(tmp_path: Path) -> None:
    files = {
        "1.json": labelme(BOX),
        "1.png": PNG,
        "2.json": '{"images": []}',
        "3.json": "[1]",
        "4.json": "{",
        "5.json": '{"shapes": 1, "imagePath": ""}',
        "6.png": PNG,
        "a/7.json": labelme(BOX, path="7.png"),
        "b/7.json": labelme(BOX, path="7.png"),
        "7.png": PNG,
        "a.txt": "",
    }
    reading = read(tmp_path, files)
    assert refused(reading) == [
        ("4.json", 0, "received a file that is not JSON of LabelMe (Input data was truncated)"),
        ("5.json", 0, "received a file that is not JSON of LabelMe (Expected `array`, got `int`)"),
        ("b/7.json", 0, "received annotations of 7.png, which a/7.json has already"),
    ]
    assert passed_over(reading) == {
        "JSON files without shapes": (2, "'2.json', '3.json'"),
        "images without annotations": (1, "'6.png'"),
        "other files": (1, "'a.txt'"),
    }


def test_only_the_classes_that_are_asked_for_are_read(tmp_path: Path) -> None:
    content = labelme(BOX, {**BOX, "label": "dog"}, {**BOX, "label": 7})
    reading = read(tmp_path, {"1.json": content, "1.png": PNG}, ("7", "cat"))
    assert reading.tables.categories["name"].to_pylist() == ["7", "cat"]
    assert [name for _, name, *_ in boxes_of(reading)] == ["cat", "7"]
    assert passed_over(reading) == {"boxes of classes that are not listed": (1, "'dog'")}


def test_no_shapes_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        read(tmp_path, {"1.json": "{}"})
    assert str(raised.value) == "there are no images with JSON files that have shapes"


@pytest.mark.parametrize(
    ("content", "is_labelme"),
    [
        (labelme(BOX), True),
        ("\ufeff" + labelme(), True),
        (labelme(BOX, imageData="A" * 100_000), True),
        ('{"images": [], "annotations": [], "categories": []}', False),
        ('[{"id": 1, "annotations": [{"result": []}], "data": {"image": "1.png"}}]', False),
        ("{", False),
        ("", False),
    ],
)
def test_files_are_told_from_other_json(tmp_path: Path, content: str, is_labelme: bool) -> None:
    assert (LabelmeReader().detect(write_tree(tmp_path, {"1.json": content})) is not None) is is_labelme


def test_evidence_says_how_many_files_there_are(tmp_path: Path) -> None:
    detection = LabelmeReader().detect(write_tree(tmp_path, {f"{n:02}.json": labelme() for n in range(20)}))
    assert detection is not None
    assert detection.evidence == "20 JSON files, LabelMe's shapes in 7 of 7 that were looked at"


TOKENS = st.sampled_from(
    ["{", "}", "[", "]", ",", '"', "NaN", "-Infinity", "1e999", "9" * 400, "null", "true", '"\\ud800"', "\0", "é", "{}"]
)
CONTENT = labelme(BOX, shape("polygon", (0, 0), (4, 0), (0, 3)), shape("point", (1, 1)), shape("x", (1, 1)))


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_file_is_refused_or_read_and_nothing_is_lost(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(CONTENT.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=3) | TOKENS.map(str.encode))
    files = {"1.json": bytes(content), "2.json": CONTENT, "1.png": PNG, "2.png": PNG}
    reading = read(tmp_path, files)
    refusals = reading.refused.to_pylist()
    refused_files = [row for row in refusals if row["element"] == "file"]
    counts = {kind: count for kind, (count, _) in passed_over(reading).items()}
    assert reading.tables.images.num_rows + len(refused_files) + counts.get("JSON files without shapes", 0) == 2
    if reading.tables.images.num_rows == 2:
        try:
            num_shapes = len(json.loads(content)["shapes"])
        except ValueError:  # msgspec takes it: a broken text in a part that nobody reads
            return
        num_rows = reading.tables.boxes.num_rows + len(refusals)
        assert num_rows + sum(counts.values()) - counts.get("names of other images in imagePath", 0) == num_shapes + 4
