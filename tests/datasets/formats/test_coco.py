"""Instances files decoded in chunks give the same tables as decoded at once, and as Python's own parser."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import schema
from pipeline.datasets.annotations import Tables, categories_table, images_table
from pipeline.datasets.formats import coco as coco_files
from pipeline.datasets.formats.coco import decode
from pipeline.datasets.formats.coco_writer import write_instances
from tests.support.validation_scene import validated

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
            "outline": a.get("segmentation") or None,
        }
        for a in annotations
    ]


def rows_of(boxes: pa.Table) -> list[dict[str, Any]]:
    """The rows with parsed outlines."""
    rows = boxes.to_pylist()
    return [{**row, "outline": json.loads(row["outline"]) if row["outline"] else None} for row in rows]


def entries_of(images: coco_files.Images) -> list[dict[str, Any]]:
    """The images as JSON has them."""
    columns = (images.ids.tolist(), images.file_names.to_pylist(), images.sizes.tolist())
    return [
        {"id": number, "file_name": name, "width": width, "height": height}
        for number, name, (width, height) in zip(*columns, strict=True)
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
    images, categories, boxes, unreadable = decode(layout(content(given_)), chunk_bytes=200)
    assert rows_of(boxes) == expected(given_)
    assert unreadable == []
    assert boxes.schema == coco_files.SPLIT_BOXES
    assert entries_of(images) == IMAGES
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
    assert rows_of(decode(content(given_), chunk_bytes).boxes) == expected(given_)


def test_file_without_annotations_gives_empty_table() -> None:
    assert decode(content([]))[2].num_rows == 0


def test_last_of_two_annotation_lists_wins() -> None:
    text = content([annotation(1)])[:-1] + b',"annotations":' + json.dumps([annotation(2)]).encode() + b"}"
    assert rows_of(decode(text, chunk_bytes=1).boxes) == expected([annotation(2)])


def test_error_names_position_in_whole_file() -> None:
    text = content([*(annotation(number) for number in range(1, 40)), 40])  # type: ignore[list-item]
    with pytest.raises(msgspec.DecodeError) as raised:
        decode(text, chunk_bytes=500)
    assert str(raised.value) == "Expected `object`, got `int` - at `$.annotations[39]`"


def test_missing_area_and_crowd_flag_have_defaults() -> None:
    bare = annotation(1)
    del bare["area"], bare["iscrowd"]
    [row] = decode(content([bare]))[2].to_pylist()
    assert (row["area"], row["is_crowd"]) == (3.5 * 4, False)


@pytest.mark.parametrize("absent", [{}, {"annotations": None}, {"annotations": []}])
def test_file_without_annotations_has_no_boxes(absent: dict[str, Any]) -> None:
    """As COCO's own image_info files of the test images."""
    text = json.dumps({"info": None, "licenses": None, "images": IMAGES, "categories": CATEGORIES, **absent})
    images, categories, boxes, _ = decode(b"\xef\xbb\xbf" + text.encode())
    assert (len(images.ids), len(categories), boxes.num_rows) == (1, 1, 0)
    assert boxes.schema == coco_files.SPLIT_BOXES


AN_ID = "a whole number from -4611686018427387904 to 4611686018427387904"

UNREADABLE: list[tuple[str, list[Any], str]] = [
    ("id", [None, "one", 1.5, True, [1], 2**63, "1e3", ""], AN_ID),
    ("id", [1e18], f"{AN_ID}, written in digits alone"),
    ("image_id", [None, "img_1", {}], AN_ID),
    ("image_id", [1e300], f"{AN_ID}, written in digits alone"),
    ("category_id", [None, "cat", 2**40], "a whole number from -2147483647 to 2147483647"),
    (
        "bbox",
        [None, [], [1, 2, 3], [1, 2, 3, 4, 5], "1 2 3 4", [1, 2, None, 4], [1, 2, "x", 4], {"x": 1}],
        "four numbers",
    ),
    ("iscrowd", [2, -1, 0.5, "yes", [1]], "0 or 1"),
]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [(name, value, what) for name, values, what in UNREADABLE for value in values],
)
def test_unreadable_value_sends_its_row_to_quarantine(name: str, value: Any, what: str) -> None:
    """The other rows are read, and the first unreadable value is named with its entry and key."""
    given_ = [annotation(1), annotation(2), annotation(3, **{name: value}), annotation(4)]
    _, _, boxes, unreadable = decode(content(given_), chunk_bytes=150)
    assert boxes["box_id"].to_pylist() == ([1, 2, 0, 4] if name == "id" else [1, 2, 3, 4])
    received = "null or nothing" if value is None else repr(value)
    assert [*map(str, unreadable)] == [f"annotations[2].{name}: received {received}, expected {what}"]
    images = images_table([7], ["val"], ["a.jpg"], [(640, 427)], ["a.zip"], ["a.jpg"])
    published = boxes.append_column("split", pa.array(["val"] * 4)).select(schema.BOXES.names)
    kinds = categories_table([5], ["dog"], [""])
    rejected = validated(Tables(images, published, kinds)).quarantine
    assert [(row["row_number"], row["reason"]) for row in rejected.to_pylist()] == [(3, QUARANTINED_AS[name])]


QUARANTINED_AS = {
    "id": "box_id_below_one",
    "image_id": "box_image_unknown",
    "category_id": "box_category_unknown",
    "bbox": "box_not_finite",
    "iscrowd": "box_not_finite",
}


def test_literals_that_json_lacks_are_read_as_null() -> None:
    """Python's own writer makes them of NaN and infinity."""
    given_ = [
        annotation(1, area=math.nan, score=-math.inf, name="NaN, Infinity"),
        annotation(2, bbox=[1, math.nan, 3, 4]),
    ]
    _, _, boxes, unreadable = decode(content(given_), chunk_bytes=100)
    assert boxes["area"][0].as_py() == 3.5 * 4
    assert math.isnan(boxes["x"][1].as_py())
    assert [*map(str, unreadable)] == ["annotations[1].bbox: received [1, None, 3, 4], expected four numbers"]


def test_images_state_their_size_in_any_notation_or_not_at_all() -> None:
    sizes = [(640, 427), (640.0, "427"), (None, 427), (640.5, 427)]
    given_ = [
        {"id": number, "file_name": f"{number}.jpg", "width": width, "height": height, "license": None}
        for number, (width, height) in enumerate(sizes, 1)
    ]
    images, _, _, unreadable = decode(content([], images=[*given_, {"id": "x", "file_name": None}]))
    assert images.sizes.tolist() == [[640, 427]] * 2 + [[0, 0]] * 3
    assert images.has_size.tolist() == [True, True, False, False, False]
    assert [(one["id"], one["file_name"]) for one in entries_of(images)[3:]] == [(4, "4.jpg"), (0, "")]
    assert [*map(str, unreadable)] == [
        f"images[4].id: received 'x', expected {AN_ID}",
        "images[4].file_name: received null or nothing, expected text",
    ]


@pytest.mark.parametrize("category_id", [None, "cat", 1.5, 2**40])
def test_category_without_an_id_is_named(category_id: Any) -> None:
    _, categories, _, unreadable = decode(content([], categories=[{"id": category_id, "name": "cat"}]))
    assert [(category.id, category.name) for category in categories] == [(0, "cat")]
    received = "null or nothing" if category_id is None else repr(category_id)
    assert [*map(str, unreadable)] == [f"categories[0].id: received {received}, expected a whole number"]


@pytest.mark.parametrize("number", ["1e400", "-1.5E+999", "1" * 400])
def test_number_that_no_float_holds_is_read_as_null(number: str) -> None:
    """The other rows are read, and so are texts and numbers that look like it."""
    text = content([annotation(1), annotation(2, area=1e300, name=f"{number}, 1e999")])
    text = text.replace(b'"bbox": [0.1', b'"bbox": [' + number.encode())
    _, _, boxes, unreadable = decode(text, chunk_bytes=100)
    assert boxes["area"].to_pylist() == [9.25, 1e300]
    assert [(one.number, one.key) for one in unreadable] == [(0, "bbox")]


notations_of_whole = st.sampled_from([int, float, str, lambda number: f" {number}.0"])


@given(st.data(), st.integers(-(2**53), 2**53), st.booleans(), st.integers(1, 400))
def test_every_notation_of_a_value_gives_the_same_table(
    data: st.DataObject, number: int, is_crowd: bool, chunk_bytes: int
) -> None:
    """Whole numbers as 1, 1.0 or "1"; flags as 1, 1.0 or true, 0 also as null or nothing; other keys hold anything."""
    plain = annotation(number, image_id=7, iscrowd=int(is_crowd), area=9.25)
    written = {key: value for key, value in plain.items() if key != "iscrowd"}
    for key in ("id", "image_id", "category_id"):
        written[key] = data.draw(notations_of_whole)(plain[key])
    flags = [1, 1.0, True, "1"] if is_crowd else [0, 0.0, False, "0", None]
    if is_crowd or data.draw(st.booleans()):
        written["iscrowd"] = data.draw(st.sampled_from(flags))
    written["bbox"] = [data.draw(st.sampled_from([float, str]))(one) for one in plain["bbox"]]
    written |= data.draw(st.dictionaries(st.sampled_from(["attributes", "score", "ignore", "license"]), anything))
    others = [annotation(1), annotation(2)]
    tolerant, strict = decode(content([*others, written]), chunk_bytes), decode(content([*others, plain]))
    assert rows_of(tolerant.boxes) == rows_of(strict.boxes)
    assert tolerant.unreadable == []


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
            "category_id": st.integers(1 - 2**31, 2**31 - 1),
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
    assert rows_of(decode(text.encode(), chunk_bytes).boxes) == expected(json.loads(text)["annotations"])


@given(st.data(), st.integers(1, 200))
def test_damaged_file_gives_same_result_as_decoding_at_once(data: st.DataObject, chunk_bytes: int) -> None:
    """Decoding in chunks fails for the same files, and gives the same annotations otherwise."""
    text = bytearray(content([annotation(1), annotation(2, **CROWD), annotation(3)]))
    for position in data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=3)):
        text[position] = data.draw(st.sampled_from(b'{}[],:"0 \\\xff'))
    damaged = bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_files, "_locate_annotations", lambda _: None)
        at_once = outcome(lambda: decode(damaged).boxes["box_id"].to_pylist())
    assert outcome(lambda: decode(damaged, chunk_bytes).boxes["box_id"].to_pylist()) == at_once


@pytest.mark.parametrize("chunk_bytes", [1, 10_000])
def test_error_names_position_of_byte_that_is_not_utf8(chunk_bytes: int) -> None:
    text = content([annotation(1), annotation(2, segmentation="?")]).replace(b'"?"', b'"\xff"')
    with pytest.raises(UnicodeDecodeError) as raised:
        decode(text, chunk_bytes)
    assert raised.value.start == text.index(0xFF)


def outcome(read: Callable[[], list[int]]) -> list[int] | str:
    try:
        return read()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return str(error)


def test_written_tables_are_read_unchanged(tmp_path: Path) -> None:
    given_ = [annotation(10**12, bbox=[0.1 + 0.2, 1e-320, 5, 2.5]), annotation(3, **CROWD), annotation(4, area=1 / 3)]
    boxes = decode(content(given_)).boxes
    rows = [{"image_id": 7, "split": "val", "file_name": "crêpe.jpg", "width": 640, "height": 427}]
    rows += [{"image_id": 2, "split": "val", "file_name": "without boxes.jpg", "width": 2, "height": 3}]
    images = pa.Table.from_pylist([{**row, "archive": "", "member": ""} for row in rows], schema.IMAGES)
    categories = categories_table([90, 2], ["dog", "cat"], ["animal", "animal"])
    write_instances(tmp_path / "out.json", Tables(images, boxes, categories))
    text = (tmp_path / "out.json").read_bytes()
    read_images, read_categories, read_boxes, _ = decode(text)
    assert read_boxes.equals(boxes)
    assert list(json.loads(text)) == ["info", "licenses", "images", "annotations", "categories"]
    assert entries_of(read_images) == [
        {"id": row["image_id"], **{name: row[name] for name in ("file_name", "width", "height")}} for row in rows
    ]
    assert [(category.id, category.name) for category in read_categories] == [(2, "cat"), (90, "dog")]
    assert json.loads(text)["annotations"][0]["bbox"] == [0.30000000000000004, 1e-320, 5.0, 2.5]


outlines = (
    st.lists(st.lists(numbers, min_size=6, max_size=8), min_size=1, max_size=3)
    | st.fixed_dictionaries({"size": st.just([427, 640]), "counts": st.lists(st.integers(0, 99)) | st.text()})
    | st.sampled_from([None, []])
    | anything
)


@given(st.lists(outlines, max_size=5), st.integers(1, 300))
def test_exported_outlines_are_the_published_ones(
    tmp_path_factory: pytest.TempPathFactory, given_: list[Any], chunk_bytes: int
) -> None:
    """As JSON values, whatever they are; null and nothing become an empty list."""
    entries = [annotation(number, segmentation=outline) for number, outline in enumerate(given_, 1)]
    boxes = decode(content(entries), chunk_bytes).boxes
    published = boxes.append_column("split", pa.repeat("val", boxes.num_rows)).select(schema.OUTLINED_BOXES.names)
    images = images_table([7], ["val"], ["a.jpg"], [(640, 427)], ["a.zip"], ["a.jpg"])
    path = tmp_path_factory.mktemp("export") / "out.json"
    write_instances(path, Tables(images, published, categories_table([5], ["dog"], [""])))
    exported = path.read_bytes()
    assert decode(exported).boxes.equals(boxes)
    assert [entry["segmentation"] for entry in json.loads(exported)["annotations"]] == [
        [] if outline is None else outline for outline in json.loads(json.dumps(given_))
    ]
