"""Label Studio's exports: regions in percent, names of images, several annotations, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading
from pipeline.datasets.formats.label_studio_reader import LabelStudioOptions, LabelStudioReader
from tests.support.dataset_folders import boxes_of, passed_over, png, refused, splits_of, write_tree

PNG = png(200, 100)
SIZE = {"original_width": 200, "original_height": 100, "image_rotation": 0}


def result(kind: str = "rectanglelabels", labels: Any = ("cat",), **value: Any) -> dict[str, Any]:
    value = value or {"x": 10, "y": 20, "width": 5, "height": 30, "rotation": 0}
    value = value if labels is None else {**value, kind: labels}
    return {"id": "a1", "type": kind, "from_name": "label", "to_name": "image", "value": value, **SIZE}


BOX = result()


def annotation(*results: object, **more: object) -> dict[str, Any]:
    return {"id": 5, "completed_by": 1, "result": results, "was_cancelled": False, "ground_truth": False, **more}


def task(*annotations: object, image: str = "1.png", **more: object) -> dict[str, Any]:
    return {"id": 9, "annotations": annotations, "data": {"image": image}, "predictions": [], **more}


def read(root: Path, files: dict[str, object], classes: tuple[str, ...] = ()) -> Reading:
    contents: dict[str, bytes | str] = {
        name: content if isinstance(content, bytes | str) else json.dumps(content) for name, content in files.items()
    }
    return LabelStudioReader().read(write_tree(root, contents), LabelStudioOptions(), classes)


def test_regions_in_percent_become_boxes_in_pixels(tmp_path: Path) -> None:
    regions = [
        BOX,
        result("polygonlabels", ["dog"], points=[[0, 0], [2, 0], [0, 3]]),
        result("ellipselabels", ["dog"], x=50, y=50, radiusX=5, radiusY=20, rotation=90),
        # 40 x 10 pixels at 100, 50, turned clockwise by 90 degrees around that corner, in pixels and not in percent.
        result(x=50, y=50, width=20, height=10, rotation=90),
        result("rectanglelabels", ["cat", "dog"], x=0, y=0, width=1, height=1),
    ]
    reading = read(tmp_path, {"a.json": [task(annotation(*regions))], "1.png": PNG})
    found = boxes_of(reading)
    assert [(name, number) for _, name, _, _, number in found] == [
        (name, 1) for name in ("cat", "dog", "dog", "cat", "cat", "dog")
    ]
    assert [list(box) for _, _, box, _, _ in found] == [
        [20, 20, 10, 30],
        [0, 0, 4, 3],
        pytest.approx([80, 40, 40, 20]),
        pytest.approx([90, 50, 10, 40]),
        [0, 0, 2, 1],
        [0, 0, 2, 1],
    ]
    table = reading.tables.boxes
    assert table["area"].to_pylist() == pytest.approx([300, 6, math.pi * 200, 400, 2, 2])
    assert table["outline"].to_pylist()[:2] == [None, "[[0.0,0.0,4.0,0.0,0.0,3.0]]"]
    assert reading.image_locations.to_pylist() == [{"file": "a.json", "element": "task", "number": 1}]
    assert reading.tables.images["width"].to_pylist() == [200]
    assert (refused(reading), passed_over(reading)) == ([], {})


def test_classes_may_be_in_a_result_of_the_same_region(tmp_path: Path) -> None:
    value = {"x": 10, "y": 20, "width": 5, "height": 30}
    regions = [
        result("rectangle", None, **value),
        result("labels", ["cat"], **value),
        {**result("rectangle", None, **value), "id": "a2"},
    ]
    reading = read(tmp_path, {"a.json": [task(annotation(*regions))], "1.png": PNG})
    assert [name for _, name, *_ in boxes_of(reading)] == ["cat"]
    [(_, _, reason)] = refused(reading)
    assert reason.endswith(": it has no label")


def test_results_that_are_no_boxes_are_passed_over(tmp_path: Path) -> None:
    regions = [result(kind, x=1) for kind in ("brushlabels", "keypointlabels", "choices")]
    reading = read(tmp_path, {"a.json": [task(annotation(*regions))], "1.png": PNG})
    assert splits_of(reading) == {"1.png": ""}
    assert {kind: count for kind, (count, _) in passed_over(reading).items()} == {
        f"results of the type {kind}": 1 for kind in ("brushlabels", "keypointlabels", "choices")
    }


@pytest.mark.parametrize(
    ("region", "problem"),
    [
        (result(x="left", y=1, width=1, height=1), "x is not a number"),
        (result(x=float("nan"), y=1, width=1, height=1), "x is not a number"),
        (result(x=1, y=1, width=1), "height is not a number"),
        (result(x=1, y=1, width=1e10, height=1), "width is not a number"),
        (result(x=True, y=1, width=1, height=1), "x is not a number"),
        (result(labels=[]), "it has no label"),
        (result(labels="cat"), "it has no label"),
        (result("polygonlabels", points=[[1, 2], [3, 4]]), "it has 2 corners, and 3 are needed"),
        (result("polygonlabels", points=[[1, 2], [3, 4], 5]), "its points are not pairs of numbers"),
        (result("polygonlabels", x=1), "its points are not pairs of numbers"),
        (
            {**BOX, "image_rotation": 90},
            "its image is turned. Turn it back in Label Studio and export it again",
        ),
        ({**BOX, "original_width": 100}, "its image has 100 x 100 pixels, and 200 x 100 elsewhere"),
        ("box", "Expected `object`, got `str`"),
        ({**BOX, "type": 7}, "Expected `str`, got `int` - at `$.type`"),
    ],
)
def test_region_that_cannot_be_read_is_refused_alone(tmp_path: Path, region: object, problem: str) -> None:
    reading = read(tmp_path, {"a.json": [task(annotation(BOX, region, BOX))], "1.png": PNG})
    assert [name for _, name, *_ in boxes_of(reading)] == ["cat", "cat"]
    [row] = reading.refused.to_pylist()
    assert (row["file"], row["element"], row["number"], row["file_name"]) == ("a.json", "task", 1, "1.png")
    assert row["reason"].startswith("received the result ")
    assert row["reason"].endswith(f": {problem}")


def test_size_that_is_not_stated_is_that_of_the_file(tmp_path: Path) -> None:
    region = {key: value for key, value in BOX.items() if not key.startswith("original")}
    tasks = [task(annotation(region)), task(annotation(region), image="2.png")]
    reading = read(tmp_path, {"a.json": tasks, "1.png": png(50, 10)})
    assert [box for _, _, box, _, _ in boxes_of(reading)] == [(5, 2, 2.5, 3)]
    assert reading.tables.images["width"].to_pylist() == [50, 0]
    [(_, number, reason)] = refused(reading)
    assert number == 2
    assert reason.endswith(": neither a result nor a file states the size of its image")


def test_sizes_exchanged_by_exif_are_kept_for_the_check_that_compares_them(tmp_path: Path) -> None:
    reading = read(tmp_path, {"a.json": [task(annotation(BOX))], "1.png": png(100, 200)})
    assert (reading.tables.images["width"][0].as_py(), reading.tables.images["height"][0].as_py()) == (200, 100)


def test_ground_truth_or_the_newest_annotation_is_read(tmp_path: Path) -> None:
    old = annotation(result(labels=["old"]), updated_at="2024-01-01T00:00:00Z")
    new = annotation(result(labels=["new"]), updated_at="2024-02-01T00:00:00Z")
    truth = annotation(result(labels=["truth"]), ground_truth=True)
    canceled = annotation(result(labels=["canceled"]), was_cancelled=True, updated_at="2025-01-01T00:00:00Z")
    undated = [annotation(result(labels=["first"])), annotation(result(labels=["last"]))]
    tasks = [
        task(new, old, canceled, predictions=[annotation(BOX), annotation(BOX)]),
        task(truth, new, image="2.png"),
        task(*undated, image="3.png"),
        task(canceled, image="4.png"),
        task(image="5.png"),
        task(annotation(), image="6.png"),
    ]
    reading = read(tmp_path, {"a.json": tasks, **{f"{number}.png": PNG for number in range(1, 7)}})
    assert [(image, name) for image, name, *_ in boxes_of(reading)] == [
        ("1.png", "new"),
        ("2.png", "truth"),
        ("3.png", "last"),
    ]
    assert list(splits_of(reading)) == ["1.png", "2.png", "3.png", "6.png"]
    assert passed_over(reading) == {
        "annotations beside the one that is read": (3, "'a.json, task 1', 'a.json, task 2', 'a.json, task 3'"),
        "annotations that were canceled": (2, "'a.json, task 1', 'a.json, task 4'"),
        "images without annotations": (2, "'4.png', '5.png'"),
        "predictions": (2, "'a.json, task 1'"),
        "tasks without annotations": (2, "'a.json, task 4', 'a.json, task 5'"),
    }


@pytest.mark.parametrize(
    ("published", "file", "expected"),
    [
        ("1.png", "1.png", "1.png"),
        ("/data/upload/12/0a1b2c3d-1.png", "images/0a1b2c3d-1.png", "images/0a1b2c3d-1.png"),
        ("/data/upload/12/0a1b2c3d-1.png", "images/1.png", "images/1.png"),
        ("/data/upload/12/0a1b2c3d-a%20b.png", "a b.png", "a b.png"),
        ("/data/local-files/?d=photos/train/1.png", "train/1.png", "train/1.png"),
        ("/data/local-files/?d=C%3A%5Cphotos%5C1.png", "1.png", "1.png"),
        ("https://example.com/photos/1.png?token=a/2.png#x", "1.png", "1.png"),
        ("s3://bucket/photos/1.png", "photos/1.png", "photos/1.png"),
        ("gs://bucket/1.png", "deep/images/1.png", "deep/images/1.png"),
        ("C:\\photos\\#1.png", "#1.png", "#1.png"),
        ("http://[/1.png", "1.png", "1.png"),
        ("/data/upload/12/0a1b2c3d-1.png", "2.png", "0a1b2c3d-1.png"),
    ],
)
def test_images_are_found_by_their_addresses(tmp_path: Path, published: str, file: str, expected: str) -> None:
    reading = read(tmp_path, {"export/a.json": [task(annotation(BOX), image=published)], file: PNG})
    assert list(splits_of(reading)) == [expected]


def test_name_of_an_image_may_have_any_key(tmp_path: Path) -> None:
    one = task(annotation(BOX))
    one["data"] = {"caption": "a cat", "photo": "/data/upload/1.png"}
    assert list(splits_of(read(tmp_path, {"a.json": [one], "1.png": PNG}))) == ["1.png"]


def test_folders_give_the_splits(tmp_path: Path) -> None:
    tasks = [task(annotation(BOX), image="train/1.png"), task(annotation(BOX), image="valid/1.png")]
    reading = read(tmp_path, {"a.json": tasks, "train/1.png": PNG, "valid/1.png": PNG})
    assert splits_of(reading) == {"train/1.png": "train", "valid/1.png": "val"}


def test_minimal_export_has_an_entry_per_annotation(tmp_path: Path) -> None:
    region = {"x": 10, "y": 20, "width": 5, "height": 30, "rotation": 0, "original_width": 200, "original_height": 100}
    polygon = {"points": [[0, 0], [2, 0], [0, 3]], "polygonlabels": ["eel"], "original_width": 200}
    entries = [
        {
            "image": "/data/upload/1.png",
            "id": 1,
            "label": [{**region, "rectanglelabels": ["old"]}],
            "annotator": 1,
            "annotation_id": 1,
            "updated_at": "2024-01-01",
        },
        {"image": "2.png", "id": 2, "label": [{**region, "rectanglelabels": ["dog"]}], "choice": "x"},
        {
            "image": "/data/upload/1.png",
            "id": 1,
            "label": [{**region, "rectanglelabels": ["new"]}, polygon, {"rle": [1], "brushlabels": ["x"]}],
            "updated_at": "2024-02-01",
        },
        {"image": "3.png", "id": 3, "label": [5]},
    ]
    reading = read(tmp_path, {"a.json": entries, **{f"{number}.png": PNG for number in range(1, 4)}})
    assert [(image, name, box, number) for image, name, box, _, number in boxes_of(reading)] == [
        ("1.png", "new", (20, 20, 10, 30), 1),
        ("1.png", "eel", (0, 0, 4, 3), 1),
        ("2.png", "dog", (20, 20, 10, 30), 2),
    ]
    assert refused(reading) == [("a.json", 4, "received the result 5: Expected `object`, got `int`")]
    assert {kind: count for kind, (count, _) in passed_over(reading).items()} == {
        "annotations beside the one that is read": 1,
        "results of the type brushlabels": 1,
    }


def test_tasks_that_cannot_be_read_are_refused_alone(tmp_path: Path) -> None:
    tasks: list[object] = [
        task(annotation(BOX)),
        7,
        {"data": {"text": "a"}, "annotations": []},
        {"data": {"image": "data:image/png;base64,AAAA"}, "annotations": []},
        {"data": {"image": "1.png"}, "annotations": [5]},
        task(annotation(BOX)),
    ]
    reading = read(tmp_path, {"a.json": tasks, "1.png": PNG})
    assert len(boxes_of(reading)) == 1
    assert refused(reading) == [
        ("a.json", 2, "received a task that cannot be read: Expected `object`, got `int`"),
        ("a.json", 3, "received a task that cannot be read: its data name no image"),
        (
            "a.json",
            4,
            "received a task that cannot be read: its image is in the data, expected the name of a file",
        ),
        ("a.json", 5, "received a task that cannot be read: Expected `object`, got `int` - at `$[0]`"),
        ("a.json", 6, "received the image 1.png, which a.json, task 1 has already"),
    ]


def test_other_files_are_passed_over_or_refused(tmp_path: Path) -> None:
    one = json.dumps(task(annotation(BOX)))  # a file with a single task
    files = {"1.png": PNG, "a.json": one, "b.json": {"images": []}, "c.json": "[", "d.txt": ""}
    reading = read(tmp_path, files)
    assert len(boxes_of(reading)) == 1
    assert refused(reading) == [
        ("c.json", 0, "received a file that is not JSON of Label Studio (Input data was truncated)")
    ]
    assert passed_over(reading) == {"JSON files without tasks": (1, "'b.json'"), "other files": (1, "'d.txt'")}


def test_only_the_classes_that_are_asked_for_are_read(tmp_path: Path) -> None:
    regions = [result(labels=[name]) for name in ("cat", "dog", "eel")]
    reading = read(tmp_path, {"a.json": [task(annotation(*regions))], "1.png": PNG}, ("eel", "cat"))
    assert reading.tables.categories["name"].to_pylist() == ["eel", "cat"]
    assert [name for _, name, *_ in boxes_of(reading)] == ["cat", "eel"]


def test_no_tasks_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        read(tmp_path, {"a.json": []})
    assert str(raised.value) == "there are no images in JSON files with tasks of Label Studio"


@pytest.mark.parametrize(
    ("content", "is_label_studio"),
    [
        (json.dumps([task(annotation(BOX))]), True),
        (json.dumps(task(annotation(BOX)), indent=2), True),
        (json.dumps([task()]), False),
        (json.dumps([{"image": "1.png", "label": [{"rectanglelabels": ["cat"]}]}]), True),
        ('{"images": [], "annotations": [], "categories": []}', False),
        ('{"shapes": [{"label": "cat"}], "imagePath": "1.png"}', False),
        ("[", False),
    ],
)
def test_files_are_told_from_other_json(tmp_path: Path, content: str, is_label_studio: bool) -> None:
    detection = LabelStudioReader().detect(write_tree(tmp_path, {"1.json": content}))
    assert (detection.evidence if detection else None) == (
        "1 JSON file, Label Studio's annotations in 1 of 1 that were looked at" if is_label_studio else None
    )


TOKENS = st.sampled_from(
    ["{", "}", "[", "]", ",", '"', "NaN", "-Infinity", "1e999", "9" * 400, "null", "true", '"\\ud800"', "\0", "é", "{}"]
)
CONTENT = json.dumps([task(annotation(BOX, result("polygonlabels", points=[[0, 0], [2, 0], [0, 3]]))), task()])


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_file_is_refused_or_read_and_nothing_is_lost(tmp_path: Path, data: st.DataObject) -> None:
    """Every task is an image, refused, or passed over, and so is every result of a task that is read."""
    content = bytearray(CONTENT.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=3) | TOKENS.map(str.encode))
    files = {"b.json": bytes(content), "a.json": [task(annotation(BOX), image="2.png")], "1.png": PNG, "2.png": PNG}
    reading = read(tmp_path, files)
    assert "2.png" in splits_of(reading)
    counts = {kind: count for kind, (count, _) in passed_over(reading).items()}
    refusals = [row for row in reading.refused.to_pylist() if row["file"] == "b.json"]
    if "JSON files without tasks" in counts or any(row["element"] == "file" for row in refusals):
        return
    try:
        num_tasks = len(json.loads(content))
    except ValueError:  # msgspec takes it: a broken text in a part that nobody reads
        return
    num_refused_tasks = len({row["number"] for row in refusals if not row["reason"].startswith("received the result")})
    num_images = reading.tables.images.num_rows - 1
    assert num_images + num_refused_tasks + counts.get("tasks without annotations", 0) == num_tasks
