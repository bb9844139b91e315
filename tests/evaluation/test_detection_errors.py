"""Errors of detectors: a scene computed by hand, single errors of each type, and pycocotools on random scenes."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from pipeline.core import schema
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.detection_errors import analyze_errors
from pipeline.evaluation.error_analysis import THRESHOLDS, WORST_IMAGES
from tests.support.coco_reference import pycocotools_evaluation, scenes
from tests.support.scenes import box, detections, image, tables

CAT, DOG = 2, 5
GROUND_TRUTH = tables(
    [image(7), image(3, width=100, height=80), image(12), image(5)],
    [
        box(1, 7, DOG, (10, 20, 30, 40)),  # 1200 px^2, medium
        box(4, 3, CAT, (0, 0, 50, 20)),  # 1000 px^2, small
        box(6, 3, CAT, (60, 10, 30, 60), is_crowd=True),
        box(9, 7, CAT, (600, 400, 40, 27)),  # 1080 px^2, medium
        box(11, 12, DOG, (100, 100, 200, 100)),  # 20000 px^2, large
    ],
)
PREDICTED = detections(
    [
        (7, DOG, (10, 20, 30, 40), 0.9),  # true positive
        (3, CAT, (62, 12, 10, 10), 0.8),  # in the crowd region of its class: ignored
        (7, DOG, (10, 20, 30, 24), 0.7),  # duplicate of the first box, IoU 0.6
        (12, CAT, (100, 100, 200, 100), 0.6),  # a dog, wrong class
        (3, CAT, (0, 0, 50, 12.5), 0.5),  # true positive, IoU 0.625
        (7, CAT, (600, 400, 40, 20), 0.4),  # true positive, IoU 20 / 27
        (3, DOG, (63, 13, 10, 10), 0.3),  # in a crowd region of another class
        (5, DOG, (1, 2, 3, 4), 0.25),  # background
    ]
)


def by(rows: list[dict[str, Any]], key: str) -> dict[Any, dict[str, Any]]:
    """Rows by one of their values, which is removed from them."""
    return {row[key]: {name: value for name, value in row.items() if name != key} for row in rows}


def image_row(image_id: int, **counts: int) -> dict[str, Any]:
    return {"image_id": image_id, "file_name": f"{image_id:012d}.jpg", **counts}


def test_precision_recall_and_f1_computed_by_hand() -> None:
    rows = by(analyze_errors(GROUND_TRUTH, PREDICTED).report["thresholds"], "threshold")
    # range of thresholds: true and false positives, of four boxes
    for thresholds, (num_true, num_false) in {
        (0.05, 0.25): (3, 4),
        (0.30, 0.30): (3, 3),
        (0.35, 0.40): (3, 2),
        (0.45, 0.50): (2, 2),
        (0.55, 0.60): (1, 2),
        (0.65, 0.70): (1, 1),
        (0.75, 0.90): (1, 0),
    }.items():
        for threshold in [value for value in rows if thresholds[0] <= value <= thresholds[1]]:
            assert rows.pop(threshold) == {
                "precision": pytest.approx(num_true / (num_true + num_false)),
                "recall": num_true / 4,
                "f1": pytest.approx(2 * num_true / (num_true + num_false + 4)),
            }
    assert rows == {0.95: {"precision": None, "recall": 0, "f1": 0}}


def test_worst_images_have_most_wrong_and_missed_boxes_at_best_f1() -> None:
    analysis = analyze_errors(GROUND_TRUTH, PREDICTED)
    assert analysis.report["best_f1"] == {
        "threshold": 0.35,  # 0.40 has the same F1
        "precision": pytest.approx(3 / 5),
        "recall": 0.75,
        "f1": pytest.approx(2 / 3),
    }
    assert analysis.threshold == 0.35
    assert analysis.report["worst_images"] == [
        image_row(12, boxes=1, matched=0, missed=1, wrong=1),
        image_row(7, boxes=2, matched=2, missed=0, wrong=1),
        image_row(3, boxes=1, matched=1, missed=0, wrong=0),
        image_row(5, boxes=0, matched=0, missed=0, wrong=0),
    ]
    assert analysis.worst_image_ids.tolist() == [12, 7, 3, 5]
    assert analysis.images.schema.equals(schema.DETECTOR_IMAGES)
    by_id = sorted(analysis.report["worst_images"], key=lambda row: row["image_id"])
    assert analysis.images.to_pylist() == by_id


def test_classes_computed_by_hand() -> None:
    # Cats by score: a false positive, IoU 0.625, IoU 0.74. At IoU 0.50 to 0.60 precision is 2/3 up to recall 1; at 0.65
    # and 0.70 it is 1/3 up to recall 1/2, 51 of 101 points; above it is 0. Dogs: one of two is detected exactly, with a
    # higher score than all false positives.
    assert analyze_errors(GROUND_TRUTH, PREDICTED).report["classes"] == [
        {
            "category_id": CAT,
            "name": "cat",
            "boxes": 2,
            "AP": pytest.approx((3 * 2 / 3 + 2 * 51 / 101 / 3) / 10),
            "AP50": pytest.approx(2 / 3),
        },
        {
            "category_id": DOG,
            "name": "dog",
            "boxes": 2,
            "AP": pytest.approx(51 / 101),
            "AP50": pytest.approx(51 / 101),
        },
    ]


def test_sizes_computed_by_hand() -> None:
    # Small: the cat of IoU 0.625 matches at 3 of 10 IoU thresholds. Medium: the cat at 5 of 10, the dog at all.
    assert analyze_errors(GROUND_TRUTH, PREDICTED).report["sizes"] == [
        {"size": "small", "boxes": 1, "AP": pytest.approx(0.3)},
        {"size": "medium", "boxes": 2, "AP": pytest.approx((0.5 + 1) / 2)},
        {"size": "large", "boxes": 1, "AP": 0},
    ]


def test_error_types_computed_by_hand() -> None:
    # With its class corrected, the cat of score 0.6 is no false positive of cats, and the second of three dogs.
    gain = (1 - 2 / 3 + 50 * 2 / 3 / 101) / 2
    assert by(analyze_errors(GROUND_TRUTH, PREDICTED).report["error_types"], "error_type") == {
        "classification": {"errors": 1, "lost_AP50": pytest.approx(gain)},
        "localization": {"errors": 0, "lost_AP50": 0},
        "both": {"errors": 0, "lost_AP50": 0},
        "duplicate": {"errors": 1, "lost_AP50": pytest.approx(0)},  # ranked below the last true positive
        "background": {"errors": 2, "lost_AP50": pytest.approx(0)},
        "missed": {"errors": 0, "lost_AP50": 0},  # the dog detected as a cat counts as a classification error
    }


@pytest.mark.parametrize(
    ("error_type", "mistake", "lost"),
    [
        # One of two dogs is detected, with a lower score than the mistake: AP50 is 1/2 x 51/101.
        (
            "localization",
            (12, DOG, (100, 100, 200, 30), 0.9),
            1 - 51 / 202,
        ),  # IoU 0.3: corrected, both dogs are detected
        ("both", (12, CAT, (100, 100, 200, 30), 0.9), 0.0),  # there is no cat, so the class is not scored
        ("background", (7, DOG, (300, 300, 10, 10), 0.9), 51 / 202),  # without it, the detected dog has precision 1
        ("background", (7, DOG, (10, 300, 10, 10), 0.4), 0.0),  # ranked below the true positive: no effect
    ],
)
def test_mistake_has_one_error_type_and_costs_what_its_correction_gains(
    error_type: str, mistake: Any, lost: float
) -> None:
    ground_truth = tables(
        [image(7), image(12)], [box(1, 7, DOG, (10, 20, 30, 40)), box(2, 12, DOG, (100, 100, 200, 100))]
    )
    predicted = detections([(7, DOG, (10, 20, 30, 40), 0.5), mistake])
    rows = by(analyze_errors(ground_truth, predicted).report["error_types"], "error_type")
    assert rows.pop(error_type) == {"errors": 1, "lost_AP50": pytest.approx(lost)}
    missed = rows.pop("missed")
    # With its location corrected, the mistake detects the second dog, which is then not counted as missed as well.
    assert missed["errors"] == (error_type != "localization")
    assert all(row == {"errors": 0, "lost_AP50": 0} for row in rows.values())


def test_missed_box_costs_the_missing_recall() -> None:
    ground_truth = tables(
        [image(7), image(12)], [box(1, 7, DOG, (10, 20, 30, 40)), box(2, 12, DOG, (100, 100, 200, 100))]
    )
    predicted = detections([(7, DOG, (10, 20, 30, 40), 0.5)])
    rows = by(analyze_errors(ground_truth, predicted).report["error_types"], "error_type")
    assert rows["missed"] == {"errors": 1, "lost_AP50": pytest.approx(50 / 101)}


@settings(max_examples=60)
@given(scenes())
def test_precision_and_recall_follow_from_matches_of_pycocotools(scene: tuple[Tables, pa.Table]) -> None:
    ground_truth, predicted = scene
    reference = pycocotools_evaluation(ground_truth, predicted)
    matches = [one for one in reference.evalImgs if one is not None and one["aRng"] == reference.params.areaRng[0]]
    scores = np.concatenate([one["dtScores"] for one in matches])
    counted = np.concatenate([~one["dtIgnore"][0] for one in matches])
    matched = np.concatenate([one["dtMatches"][0] > 0 for one in matches])
    num_boxes = sum(int((~one["gtIgnore"].astype(bool)).sum()) for one in matches)
    rows = analyze_errors(ground_truth, predicted).report["thresholds"]
    assert [row["threshold"] for row in rows] == pytest.approx(np.arange(0.05, 0.96, 0.05))
    for row in rows:
        above = counted & (scores >= row["threshold"])
        num_true = int((above & matched).sum())
        assert row["precision"] == (pytest.approx(num_true / above.sum()) if above.any() else None)
        assert row["recall"] == (pytest.approx(num_true / num_boxes) if num_boxes else None)
        if row["precision"] and row["recall"]:
            assert row["f1"] == pytest.approx(2 / (1 / row["precision"] + 1 / row["recall"]))


@settings(max_examples=30)
@given(scenes())
def test_classes_and_sizes_equal_those_of_pycocotools(scene: tuple[Tables, pa.Table]) -> None:
    ground_truth, predicted = scene
    report, reference = analyze_errors(ground_truth, predicted).report, pycocotools_evaluation(ground_truth, predicted)
    for row, size in zip(report["sizes"], reference.stats[3:6], strict=True):
        assert row["AP"] == (None if size == -1 else pytest.approx(size, abs=1e-9))
    precision = reference.eval["precision"][:, :, :, 0, -1]
    for index, row in enumerate(report["classes"]):
        values = precision[:, :, index]
        assert (row["AP"] is None) == (row["boxes"] == 0) == (values.max() == -1)
        if row["AP"] is not None:
            assert (row["AP"], row["AP50"]) == pytest.approx((values.mean(), values[0].mean()), abs=1e-9)


@pytest.mark.parametrize(
    ("boxes", "predicted", "at_half", "worst"),
    [
        pytest.param([], [], (None, None, None), (0, 0), id="neither boxes nor predictions"),
        pytest.param([], [(7, DOG, (1, 2, 3, 4), 0.5)], (0, None, 0), (1, 0), id="no box"),
        pytest.param([box(1, 7, DOG, (1, 2, 3, 4))], [], (None, 0, 0), (0, 1), id="no prediction"),
        pytest.param(
            [box(1, 7, DOG, (1, 2, 3, 4), is_crowd=True)],
            [(7, DOG, (1, 2, 3, 4), 0.9)],
            (None, None, None),
            (0, 0),
            id="crowd region alone",
        ),
    ],
)
def test_values_without_denominator_are_none(boxes: Any, predicted: Any, at_half: Any, worst: tuple[int, int]) -> None:
    analysis = analyze_errors(tables([image(7)], boxes), detections(predicted))
    row = by(analysis.report["thresholds"], "threshold")[0.5]
    assert (row["precision"], row["recall"], row["f1"]) == at_half
    [image_row] = analysis.report["worst_images"]
    assert (image_row["wrong"], image_row["missed"]) == worst
    classes = {row["name"]: (row["boxes"], row["AP"], row["AP50"]) for row in analysis.report["classes"]}
    dogs = sum(not row["is_crowd"] for row in boxes)
    assert classes == {"cat": (0, None, None), "dog": (dogs, *((0, 0) if dogs else (None, None)))}
    assert all((row["AP"] is None) == (row["boxes"] == 0) for row in analysis.report["sizes"])
    assert analysis.threshold == THRESHOLDS[0]
    json.dumps(analysis.report, allow_nan=False)


def test_there_are_at_most_twelve_worst_images() -> None:
    ground_truth = tables([image(i) for i in range(30, 0, -1)], [box(i, i, DOG, (1, 2, 30, 40)) for i in range(1, 31)])
    assert analyze_errors(ground_truth, detections([])).worst_image_ids.tolist() == list(range(1, WORST_IMAGES + 1))
