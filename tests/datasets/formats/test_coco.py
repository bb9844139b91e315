"""Instances files decoded in chunks give the same tables as decoded at once, and as Python's own parser."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import schema
from pipeline.datasets.annotations import Tables, categories_table
from pipeline.datasets.formats import coco as coco_files
from pipeline.datasets.formats.coco import decode
from pipeline.datasets.formats.coco_writer import write_instances

IMAGES = [{"id": 7, "file_name": "a.jpg", "width": 640, "height": 427}]
CATEGORIES = [{"id": 5, "name": "dog", "supercategory": "animal"}]


def annotation(number: int, **changes: Any) -> dict[str, Any]:
    box = {"id": number, "image_id": 7, "category_id": 5, "bbox": [0.1 * number, 2, 3.5, 4], "area": 9.25, "iscrowd": 0}
    return {"segmentation": [[1.5, 2.5, 3.5]], **box, **changes}


def content(annotations: list[dict[str, Any]], **changes: Any) -> bytes:
    return json.dumps({"images": IMAGES, "annotations": annotations, "categories": CATEGORIES, **changes}).encode()


def expected(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "box_id": a["id"],
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            **dict(zip(("x", "y", "width", "height"), a["bbox"], strict=True)),
            "area": a["area"],
            "is_crowd": bool(a["iscrowd"]),
        }
        for a in annotations
    ]


@pytest.fixture
def chunk_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the decoded chunks; a file that is decoded at once has one."""
    counts: list[int] = []
    boxes = coco_files._boxes

    def counted(annotations: list[coco_files.Annotation]) -> pa.RecordBatch:
        counts.append(len(annotations))
        return boxes(annotations)

    monkeypatch.setattr(coco_files, "_boxes", counted)
    return counts


CROWD = {"segmentation": {"counts": [3, 4], "size": [427, 640]}, "iscrowd": 1}


@pytest.mark.parametrize(
    ("layout", "is_chunked"),
    [
        pytest.param(lambda text: text, True, id="as published"),
        pytest.param(lambda text: json.dumps(json.loads(text), indent=2).encode(), True, id="indented"),
        pytest.param(
            lambda text: json.dumps(dict(sorted(json.loads(text).items()))).encode(), True, id="annotations first"
        ),
        pytest.param(
            lambda text: json.dumps({"info": {"annotations": [1]}, **json.loads(text)}).encode(),
            False,
            id="earlier key of the same name",
        ),
    ],
)
def test_chunked_decoding_gives_all_annotations(chunk_sizes: list[int], layout: Any, is_chunked: bool) -> None:
    given_ = [annotation(1), annotation(2, **CROWD), annotation(3), annotation(4), annotation(5)]
    images, categories, boxes = decode(layout(content(given_)), chunk_bytes=200)
    assert boxes.to_pylist() == expected(given_)
    assert boxes.schema == coco_files.SPLIT_BOXES
    assert [msgspec.to_builtins(image) for image in images] == IMAGES
    assert [msgspec.to_builtins(category) for category in categories] == CATEGORIES
    assert sum(chunk_sizes) == 5
    assert (len(chunk_sizes) > 1) == is_chunked


@pytest.mark.parametrize(
    "trap",
    [
        pytest.param({"note": '},{"id":1},{'}, id="boundary inside a string"),
        pytest.param({"parts": [{"id": 1}, {"id": 2}, {"id": 3}]}, id="objects inside an annotation"),
        pytest.param({"note": '],"categories":[]}'}, id="end inside a string"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 40, 100, 1000])
def test_apparent_boundaries_inside_annotations_are_ignored(trap: dict[str, Any], chunk_bytes: int) -> None:
    given_ = [annotation(number, **trap) for number in range(1, 6)]
    assert decode(content(given_), chunk_bytes)[2].to_pylist() == expected(given_)


def test_file_without_annotations_gives_empty_table() -> None:
    assert decode(content([]))[2].num_rows == 0


def test_last_of_two_annotation_lists_wins() -> None:
    text = content([annotation(1)])[:-1] + b',"annotations":' + json.dumps([annotation(2)]).encode() + b"}"
    assert decode(text, chunk_bytes=1)[2].to_pylist() == expected([annotation(2)])


def test_error_names_position_in_whole_file() -> None:
    text = content([annotation(number) for number in range(1, 40)] + [annotation(40, bbox=[1, 2, 3])])
    with pytest.raises(msgspec.DecodeError) as raised:
        decode(text, chunk_bytes=500)
    assert str(raised.value) == "Expected `array` of length 4 - at `$.annotations[39].bbox`"


def test_missing_area_and_crowd_flag_have_defaults() -> None:
    bare = annotation(1)
    del bare["area"], bare["iscrowd"]
    [row] = decode(content([bare]))[2].to_pylist()
    assert (row["area"], row["is_crowd"]) == (3.5 * 4, False)


def test_invalid_crowd_flag_is_an_error() -> None:
    with pytest.raises(msgspec.DecodeError) as raised:
        decode(content([annotation(1, iscrowd=2)]))
    assert str(raised.value) == "Invalid enum value 2 - at `$.annotations[0].iscrowd`"


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**50), 2**50)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
annotations = st.builds(
    lambda fields, more: {**more, **fields},
    st.fixed_dictionaries(
        {
            "id": st.integers(-(2**62), 2**62),
            "image_id": st.integers(-(2**62), 2**62),
            "category_id": st.integers(-(2**31), 2**31 - 1),
            "bbox": st.lists(numbers, min_size=4, max_size=4),
            "area": numbers,
            "iscrowd": st.integers(0, 1),
        }
    ),
    st.dictionaries(st.text(), anything, max_size=3),
)


@given(st.lists(annotations, max_size=8), st.integers(1, 300), st.permutations(["images", "annotations", "categories"]))
def test_any_annotations_and_chunk_size_agree_with_standard_parser(
    given_: list[dict[str, Any]], chunk_bytes: int, order: list[str]
) -> None:
    """The expected result is that of Python's own parser."""
    parts = {"images": IMAGES, "annotations": given_, "categories": CATEGORIES}
    text = json.dumps({key: parts[key] for key in order})
    assert decode(text.encode(), chunk_bytes)[2].to_pylist() == expected(json.loads(text)["annotations"])


@given(st.data(), st.integers(1, 200))
def test_damaged_file_gives_same_result_as_decoding_at_once(data: st.DataObject, chunk_bytes: int) -> None:
    """Decoding in chunks fails for the same files, and gives the same annotations otherwise."""
    text = bytearray(content([annotation(1), annotation(2, **CROWD), annotation(3)]))
    for position in data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=3)):
        text[position] = data.draw(st.sampled_from(b'{}[],:"0 \\\xff'))
    damaged = bytes(text)
    assert outcome(lambda: decode(damaged, chunk_bytes)[2]["box_id"].to_pylist()) == outcome(
        lambda: [a.id for a in msgspec.json.decode(damaged, type=coco_files.Instances).annotations]
    )


def outcome(read: Callable[[], list[int]]) -> list[int] | str:
    try:
        return read()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return str(error)


def test_written_tables_are_read_unchanged(tmp_path: Path) -> None:
    given_ = [annotation(10**12, bbox=[0.1 + 0.2, 1e-320, 5, 2.5]), annotation(3, **CROWD), annotation(4, area=1 / 3)]
    boxes = decode(content(given_))[2]
    rows = [{"image_id": 7, "split": "val", "file_name": "crêpe.jpg", "width": 640, "height": 427}]
    rows += [{"image_id": 2, "split": "val", "file_name": "without boxes.jpg", "width": 2, "height": 3}]
    images = pa.Table.from_pylist([{**row, "archive": "", "member": ""} for row in rows], schema.IMAGES)
    categories = categories_table([90, 2], ["dog", "cat"], ["animal", "animal"])
    write_instances(tmp_path / "out.json", Tables(images, boxes, categories))
    text = (tmp_path / "out.json").read_bytes()
    read_images, read_categories, read_boxes = decode(text)
    assert read_boxes.equals(boxes)
    assert [msgspec.to_builtins(image) for image in read_images] == [
        {"id": row["image_id"], **{name: row[name] for name in ("file_name", "width", "height")}} for row in rows
    ]
    assert [(category.id, category.name) for category in read_categories] == [(2, "cat"), (90, "dog")]
    assert json.loads(text)["annotations"][0]["bbox"] == [0.30000000000000004, 1e-320, 5.0, 2.5]
