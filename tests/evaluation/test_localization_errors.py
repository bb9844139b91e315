"""Errors of localizers: a scene computed by hand, limits of ranges, and parts that add up to the scores."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import schema
from pipeline.evaluation.localization import LocalizationTask
from pipeline.evaluation.localization_errors import analyze_errors
from tests.support.scenes import box, detections, image, tables

CAT, DOG = 2, 5
GROUND_TRUTH = tables(
    [image(7), image(3, width=100, height=80), image(12), image(5), image(9), image(20)],
    [
        box(1, 7, DOG, (10, 20, 30, 40)),  # of 640 x 427 px 0.4 %
        box(2, 3, CAT, (0, 0, 50, 20)),  # of 100 x 80 px 12.5 %
        box(3, 12, DOG, (100, 100, 40, 40)),  # 0.6 %
        box(4, 5, CAT, (100, 100, 160, 100)),  # 5.9 %
        box(5, 5, DOG, (100, 100, 160, 50)),  # 2.9 %
        box(6, 9, CAT, (0, 0, 600, 400)),  # 88 %
    ],
)
PREDICTED = detections(
    [
        (5, CAT, (100, 100, 160, 100), 0.5),  # correct for the cat; for the dog IoU 0.5 and the wrong class
        (7, DOG, (10, 20, 30, 40), 0.9),  # correct
        (3, DOG, (0, 0, 50, 16), 0.8),  # IoU 0.8, class wrong
        (12, DOG, (140, 140, -40, -40), 0.95),  # inverted: overlaps nothing
    ]
)


def row(boxes: int, accuracy: float, mean_iou: float) -> dict[str, Any]:
    return {"boxes": boxes, "accuracy": pytest.approx(accuracy), "mean_iou": pytest.approx(mean_iou)}


def image_row(image_id: int, **numbers: float | None) -> dict[str, Any]:
    return {"image_id": image_id, "file_name": f"{image_id:012d}.jpg", **numbers}


def test_classes_and_sizes_computed_by_hand() -> None:
    report = analyze_errors(GROUND_TRUTH, PREDICTED).report
    assert report["classes"] == [
        {"category_id": CAT, "name": "cat", **row(3, 1 / 3, (0.8 + 1 + 0) / 3)},
        {"category_id": DOG, "name": "dog", **row(3, 2 / 3, (1 + 0 + 0.5) / 3)},
    ]
    assert report["sizes"] == [
        {"size": "below 1 %", **row(2, 1, 0.5)},
        {"size": "1 to 10 %", **row(2, 0.5, 0.75)},
        {"size": "10 to 50 %", **row(1, 0, 0.8)},
        {"size": "from 50 %", **row(1, 0, 0)},
    ]


def fractions(report: dict[str, Any]) -> dict[str, float]:
    return {one["error_type"]: one["fraction"] for one in report["error_types"]}


def test_error_types_computed_by_hand() -> None:
    report = analyze_errors(GROUND_TRUTH, PREDICTED).report
    assert fractions(report) == pytest.approx(
        {"correct": 2 / 6, "class wrong": 1 / 6, "box wrong": 1 / 6, "both wrong": 2 / 6}
    )


def test_thresholds_computed_by_hand() -> None:
    rows = {one.pop("threshold"): one for one in analyze_errors(GROUND_TRUTH, PREDICTED).report["thresholds"]}
    for threshold, row in rows.items():
        if threshold <= 0.5:
            expected = (5 / 6, 3 / 5, (1 + 0.8 + 0 + 1 + 0.5) / 5)
        elif threshold <= 0.8:
            expected = (3 / 6, 2 / 3, (1 + 0.8 + 0) / 3)
        elif threshold <= 0.9:
            expected = (2 / 6, 1, 0.5)
        else:
            expected = (1 / 6, 1, 0)
        assert row == pytest.approx(dict(zip(("predicted_fraction", "accuracy", "mean_iou"), expected, strict=True)))


def test_worst_images_have_lowest_iou_and_at_least_one_box() -> None:
    analysis = analyze_errors(GROUND_TRUTH, PREDICTED)
    assert analysis.worst_image_ids.tolist() == [
        12,
        9,
        5,
        3,
        7,
    ]  # IoU 0 twice: the confident prediction before the missing one
    assert analysis.images.schema.equals(schema.LOCALIZER_IMAGES)
    rows = [
        image_row(3, boxes=1, mean_iou=0.8, accuracy=0.0, score=0.8),
        image_row(5, boxes=2, mean_iou=0.75, accuracy=0.5, score=0.5),
        image_row(7, boxes=1, mean_iou=1.0, accuracy=1.0, score=0.9),
        image_row(9, boxes=1, mean_iou=0.0, accuracy=0.0, score=None),
        image_row(12, boxes=1, mean_iou=0.0, accuracy=1.0, score=0.95),
        image_row(20, boxes=0, mean_iou=None, accuracy=None, score=None),
    ]
    assert analysis.images.to_pylist() == rows
    assert analysis.report["worst_images"] == [rows[index] for index in (4, 3, 1, 0, 2)]
    assert analysis.threshold == 0  # every prediction is plotted


@pytest.mark.parametrize(
    ("sides", "size"),
    [((10, 7.9), 0), ((10, 8), 1), ((25, 31), 1), ((25, 32), 2), ((50, 79), 2), ((50, 80), 3), ((100, 80), 3)],
)
def test_size_range_includes_its_lower_limit(sides: tuple[float, float], size: int) -> None:
    ground_truth = tables([image(3, width=100, height=80)], [box(1, 3, CAT, (0, 0, *sides))])
    boxes = [one["boxes"] for one in analyze_errors(ground_truth, detections([])).report["sizes"]]
    assert boxes == [index == size for index in range(4)]


@pytest.mark.parametrize(
    ("boxes", "predicted", "fraction", "classes"),
    [
        pytest.param(
            [], [], None, {"cat": (0, None, None), "dog": (0, None, None)}, id="neither boxes nor predictions"
        ),
        pytest.param(
            [], [(7, DOG, (1, 2, 3, 4), 0.5)], None, {"cat": (0, None, None), "dog": (0, None, None)}, id="no box"
        ),
        pytest.param(
            [box(1, 7, DOG, (1, 2, 3, 4))], [], 1, {"cat": (0, None, None), "dog": (1, 0, 0)}, id="no prediction"
        ),
    ],
)
def test_values_without_denominator_are_none(boxes: Any, predicted: Any, fraction: Any, classes: Any) -> None:
    report = analyze_errors(tables([image(7)], boxes), detections(predicted)).report
    assert {one["name"]: (one["boxes"], one["accuracy"], one["mean_iou"]) for one in report["classes"]} == classes
    assert report["error_types"][3] == {"error_type": "both wrong", "fraction": fraction}
    assert report["thresholds"][0] == {
        "threshold": 0.05,
        "predicted_fraction": None if fraction is None else 0,
        "accuracy": None,
        "mean_iou": None,
    }
    assert len(report["worst_images"]) == len(boxes)
    json.dumps(report, allow_nan=False)


SIDES = st.tuples(*[st.integers(0, 300)] * 2, *[st.integers(1, 300)] * 2)
ROWS = st.lists(st.tuples(st.sampled_from([CAT, DOG]), SIDES, st.sampled_from([CAT, DOG, None]), SIDES), min_size=1)


@given(ROWS)
def test_parts_add_up_to_scores(rows: list[Any]) -> None:
    ground_truth = tables(
        [image(i) for i in range(1, len(rows) + 1)],
        [box(i, i, category, xywh) for i, (category, xywh, _, _) in enumerate(rows, 1)],
    )
    predicted = detections([(i, label, xywh, 0.5) for i, (_, _, label, xywh) in enumerate(rows, 1) if label])
    report, scores = analyze_errors(ground_truth, predicted).report, LocalizationTask().score(ground_truth, predicted)
    for part in (report["classes"], report["sizes"]):
        assert sum(one["boxes"] for one in part) == len(rows)
        for name in ("accuracy", "mean_iou"):
            assert sum(one["boxes"] * (one[name] or 0) for one in part) / len(rows) == pytest.approx(scores[name])
    error_types = fractions(report)
    assert sum(error_types.values()) == pytest.approx(1)
    assert error_types["correct"] + error_types["box wrong"] == pytest.approx(scores["accuracy"])
    assert error_types["correct"] + error_types["class wrong"] == pytest.approx(scores["iou_50"])
