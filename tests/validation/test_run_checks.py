"""Which rows are accepted, which are quarantined, and when a dataset as a whole fails."""

import json
import math
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Reading, image_rows_of
from pipeline.validation import quarantine
from pipeline.validation.config import ValidateConfig
from pipeline.validation.joins import KEY, images_with_files
from pipeline.validation.run_checks import run_checks
from tests.support.scenes import NO_ARCHIVES, box, files_of, image
from tests.support.validation_scene import (
    BOXES,
    IMAGES,
    TRAIN,
    VAL,
    Row,
    checked,
    checks,
    locations,
    result_of,
    tables_of,
    violation_counts,
)

NEGATIVE = box(2, 7, 5, (1, 2, -3, 4), split="val")


def test_valid_tables_pass_unchanged() -> None:
    validation = checked()
    assert validation.accepted.images.equals(pa.Table.from_pylist(IMAGES, schema.IMAGES))
    assert validation.accepted.boxes.equals(pa.Table.from_pylist(BOXES, schema.BOXES))
    assert validation.accepted.categories["name"].to_pylist() == ["cat", "dog"]
    assert validation.files.equals(files_of(validation.accepted.images))
    assert validation.quarantine.num_rows == 0
    assert validation.failures() == []
    assert {one.status for one in validation.results} == {"passed"}


def test_quarantine_has_the_row_its_position_and_the_offending_values() -> None:
    bad = box(2, 7, 5, (600, math.nan, 41.5, 4), is_crowd=True, split="val")
    validation = checked(boxes=[*BOXES[:3], bad, BOXES[3]])
    assert validation.quarantine.schema == schema.QUARANTINE
    [row] = validation.quarantine.to_pylist()
    values, content = json.loads(row.pop("values")), json.loads(row.pop("row"))
    assert row == {
        "table": "boxes",
        "row_number": 4,
        "row_id": 2,
        "split": "val",
        "image_id": 7,
        "file_name": "000000000007.jpg",
        **dict.fromkeys(schema.LOCATIONS.names),
        "reason": "box_not_finite",
    }
    # JSON cannot express NaN
    assert values == {"x": 600.0, "y": "nan", "width": 41.5, "height": 4.0, "area": 166.0}
    assert content == bad | {"y": "nan"}
    assert result_of(validation, "box_not_finite").examples == (
        "boxes row 4, box 2 of 000000000007.jpg in val: x 600, y nan, width 41.5, height 4, area 166",
    )


def test_quarantined_rows_name_the_lines_that_they_come_from() -> None:
    images = [*IMAGES, image(9, width=0)]
    bad = box(2, 7, 5, (1, 2, -3, 4), split="val")
    validation = checked(images, [*BOXES[:3], bad, BOXES[3]], has_locations=True)
    assert validation.quarantine.select(["row_number", *schema.LOCATIONS.names]).to_pylist() == [
        {"row_number": 3, "file": "3.xml", "element": "file", "number": 0},
        {"row_number": 4, "file": "boxes.csv", "element": "line", "number": 4},
    ]
    assert result_of(validation, "image_size_not_positive").examples == (
        "3.xml (image 9, 000000000009.jpg in val): width 0, height 427",
    )
    assert result_of(validation, "box_size_not_positive").examples == (
        "boxes.csv, line 4 (box 2 of 000000000007.jpg in val): width -3, height 4",
    )


REFUSED = [
    {
        "file": "labels/a.txt",
        "element": "line",
        "number": 3,
        "split": "val",
        "file_name": "a.jpg",
        "reason": "received x, expected a number",
    },
    {"file": "b.xml", "element": "file", "number": 0, "reason": "received 'no XML'\x1b"},
]


def test_refused_entries_are_quarantined_with_their_place_and_reason() -> None:
    validation = checked(refused=REFUSED)
    assert validation.quarantine.schema == schema.QUARANTINE
    rows = validation.quarantine.to_pylist()
    unknown = dict.fromkeys(("row_number", "row_id", "image_id", "row"))
    shared = {"table": "refused", "reason": "annotation_refused", **unknown}
    assert [json.loads(row.pop("values")) for row in rows] == [{"reason": row["reason"]} for row in REFUSED]
    assert rows == [
        {**shared, **{name: REFUSED[0][name] for name in ("file", "element", "number", "split", "file_name")}},
        {**shared, "file": "b.xml", "element": "file", "number": 0, "split": None, "file_name": None},
    ]
    result = result_of(validation, "annotation_refused")
    assert (result.severity, result.status, result.count) == ("error", "quarantined", 2)
    assert result.examples == (
        "labels/a.txt, line 3: received x, expected a number",
        "b.xml: received 'no XML'\\x1b",
    )


def test_refused_entries_count_for_the_limit() -> None:
    assert checked(refused=REFUSED, max_quarantined_fraction=0.25).failures() == []
    assert checked(refused=REFUSED, max_quarantined_fraction=0.24).failures() == [
        "2 of 8 rows (25 %) are in quarantine, the limit is 24 % (annotation_refused 2; "
        "first: labels/a.txt, line 3: received x, expected a number)"
    ]


def test_locations_of_other_tables_are_an_error() -> None:
    reading = Reading(tables_of(IMAGES, BOXES), box_locations=locations([{}, {}], "boxes.csv", "line", 1))
    with pytest.raises(BoxlineError) as raised:
        run_checks(
            reading, files_of(reading.tables.images), NO_ARCHIVES, ValidateConfig(max_quarantined_fraction=0), checks()
        )
    assert str(raised.value) == (
        "the locations of boxes have 2 rows, expected 4, as boxes have. "
        "Run `dvc repro --force tables` to write both again."
    )


def test_quarantine_of_several_chunks_has_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chunk may contain line breaks, nulls, NaN and infinity."""
    monkeypatch.setattr(quarantine, "CHUNK_ROWS", 2)
    bad = [box(20 + number, 7, 5, (1, 2, -3, 4), split="val") for number in range(3)]
    bad.append(box(23, 7, 5, (-math.inf, 2, math.inf, math.nan), split="val"))
    images = [image(40 + number) | {"file_name": f"{number}\n\u2028é.jpg"} for number in range(3)]
    validation = checked(
        [*IMAGES, *images], [*BOXES, *bad], files=[{"sha256": None, "problem": None}, *[{"problem": "a\nb"}] * 2]
    )
    rows = validation.quarantine.to_pylist()
    assert [json.loads(row["row"]) for row in rows] == [
        *images,
        bad[3] | {"x": "-inf", "width": "inf", "height": "nan", "area": str(bad[3]["area"])},
        *bad[:3],
    ]
    assert [json.loads(row["values"]) for row in rows] == [
        {"archive": images[0]["archive"], "member": images[0]["member"], "problem": None},
        {"problem": "a\nb"},
        {"problem": "a\nb"},
        {"x": "-inf", "y": 2.0, "width": "inf", "height": "nan", "area": str(bad[3]["area"])},
        *[{"width": -3.0, "height": 4.0}] * 3,
    ]
    assert rows[-1]["values"] == '{"width":-3.0,"height":4.0}'


def test_problem_of_file_is_the_offending_value() -> None:
    problem = "the file does not decode (image file is truncated (4 bytes not processed))."
    validation = checked([*IMAGES, image(8)], files=[{"thumbnail": None, "problem": problem}])
    [row] = validation.quarantine.to_pylist()
    assert (row["table"], row["row_number"], row["row_id"], row["reason"]) == ("images", 3, 8, "image_not_decodable")
    assert json.loads(row["values"]) == {"problem": problem}
    assert json.loads(row["row"]) == image(8)
    assert validation.files["image_id"].to_pylist() == [7, 3]


def test_row_number_refers_to_the_published_table() -> None:
    rows = [box(0, 7, 5, (1, 2, 3, 4)), NEGATIVE, *BOXES, box(3, 7, 5, (-9, 2, 3, 4))]
    places = [(row["row_number"], row["reason"]) for row in checked(boxes=rows).quarantine.to_pylist()]
    assert places == [(1, "box_id_below_one"), (2, "box_size_not_positive"), (7, "box_outside_image")]


def test_box_of_unknown_image_has_no_file_name() -> None:
    validation = checked(boxes=[*BOXES, box(2, 999, 5, (1, 2, 3, 4))])
    assert validation.quarantine["file_name"].to_pylist() == [None]
    assert result_of(validation, "box_image_unknown").examples == (
        "boxes row 5, box 2 of image 999 in val: image_id 999",
    )


@pytest.mark.parametrize(
    ("severity", "status", "accepted", "quarantined"),
    [("error", "quarantined", 4, 1), ("warning", "warned", 5, 0), ("off", "off", 5, 0)],
)
def test_severity_decides_whether_a_row_is_quarantined(
    severity: str, status: str, accepted: int, quarantined: int
) -> None:
    rows = [*BOXES, box(2, 7, 5, (-9, 2, 3, 400))]
    validation = checked(boxes=rows, box_outside_image={"severity": severity})
    one = result_of(validation, "box_outside_image")
    assert (one.status, one.count) == (status, int(severity != "off"))
    assert len(one.examples) == one.count
    assert (validation.accepted.boxes.num_rows, validation.quarantine.num_rows) == (accepted, quarantined)


def test_thresholds_decide_what_violates_a_check() -> None:
    rows = [*BOXES, box(2, 7, 5, (-9, 2, 3, 400))]
    assert violation_counts(checked(boxes=rows, box_outside_image={"tolerance_pixels": 8.9})) == {
        "box_outside_image": 1
    }
    assert violation_counts(checked(boxes=rows, box_outside_image={"tolerance_pixels": 9})) == {}


def test_result_counts_all_violations_and_lists_the_first() -> None:
    rows = [*BOXES, *(box(20 + number, 7, 5, (1, 2, -3, 4)) for number in range(9))]
    one = result_of(checked(boxes=rows), "box_size_not_positive")
    assert one.count == 9
    assert [example.partition(",")[0] for example in one.examples] == [f"boxes row {number}" for number in range(5, 10)]


def test_too_many_quarantined_rows_fail_the_dataset() -> None:
    rows = [*BOXES, NEGATIVE, box(0, 7, 5, (1, 2, 3, 4))]
    assert checked(boxes=rows, max_quarantined_fraction=0.25).failures() == []
    assert checked(boxes=rows, max_quarantined_fraction=0.24).failures() == [
        "2 of 8 rows (25 %) are in quarantine, the limit is 24 % (box_id_below_one 1, box_size_not_positive 1; "
        "first: boxes row 6, box 0 of 000000000007.jpg in val: box_id 0)"
    ]


def test_dataset_without_accepted_rows_fails() -> None:
    assert checked([], []).failures() == ["no training images passed the checks"]
    assert checked(boxes=[]).failures() == ["no training boxes passed the checks"]
    rejected = [image | {"width": -1} for image in IMAGES]
    assert checked(rejected, files=[{"width": -1}] * 2).failures() == ["no training images passed the checks"]


def test_files_of_other_images_are_an_error() -> None:
    files = files_of(pa.Table.from_pylist([TRAIN, VAL], schema.IMAGES))
    with pytest.raises(BoxlineError) as raised:
        images_with_files(pa.Table.from_pylist([VAL, TRAIN], schema.IMAGES), files)
    assert str(raised.value) == (
        "files.parquet describes other images (2) than images.parquet (2). Run `dvc repro inspect` to inspect these."
    )


# --- any tables -------------------------------------------------------------------------------------------------------

ids = st.integers(-1, 5)
numbers = st.sampled_from([-9.0, -0.0, 0.0, 1.5, 30.0, 700.0, math.nan, math.inf, -math.inf])
any_image = st.builds(
    lambda image_id, split, width: image(image_id, split, width=width),
    ids,
    st.sampled_from(["train", "val", "test"]),
    st.sampled_from([-5, 0, 20, 640]),
)
any_box = st.builds(
    lambda box_id, split, image_id, category_id, xywh, is_crowd: box(
        box_id, image_id, category_id, xywh, is_crowd=is_crowd, split=split
    ),
    ids,
    st.sampled_from(["train", "val", "test"]),
    ids,
    st.integers(1, 6),
    st.tuples(numbers, numbers, numbers, numbers),
    st.booleans(),
)
any_file = st.fixed_dictionaries(
    {},
    optional={
        "problem": st.just("cut off"),
        "sha256": st.sampled_from([None, "a", "b"]),
        "orientation": st.sampled_from([None, 1, 6]),
        "thumbnail": st.sampled_from([None, bytes(256), bytes(range(256))]),
    },
)


@given(
    st.lists(any_image, max_size=8).flatmap(
        lambda images: st.tuples(st.just(images), st.lists(any_file, min_size=len(images), max_size=len(images)))
    ),
    st.lists(any_box, max_size=12),
    st.sampled_from(["error", "warning", "off"]),
)
def test_every_row_is_either_accepted_or_quarantined(
    images_and_files: tuple[list[Row], list[Row]], boxes: list[Row], severity: str
) -> None:
    images, files = images_and_files
    softer = ("box_not_finite", "box_size_not_positive", "image_size_differs", "image_duplicated_within_split")
    validation = checked(images, boxes, files=files, **{name: {"severity": severity} for name in softer})
    given = Counter(json.dumps(row, sort_keys=True) for row in [*images, *boxes])
    accepted = [*validation.accepted.images.to_pylist(), *validation.accepted.boxes.to_pylist()]
    kept = Counter(json.dumps(row, sort_keys=True) for row in accepted)
    quarantined = validation.quarantine.to_pylist()
    assert len(accepted) + len(quarantined) == len(images) + len(boxes)
    places = [(row["table"], row["row_number"]) for row in quarantined]
    assert len(set(places)) == len(places)
    for row in quarantined:
        source = {"images": images, "boxes": boxes}[row["table"]][row["row_number"] - 1]
        assert json.loads(row["row"]) == {name: _without_nan(value) for name, value in source.items()}
        kept[json.dumps(source, sort_keys=True)] += 1
    assert kept == given
    assert validation.files.select(KEY).equals(validation.accepted.images.select(KEY))
    assert (image_rows_of(validation.accepted.boxes, validation.accepted.images) >= 0).all()


def _without_nan(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
