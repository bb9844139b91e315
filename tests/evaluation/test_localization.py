"""Scores of localizers: computed by hand, by pycocotools, and of nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import schema
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.config import ScorerName
from pipeline.evaluation.localization import LocalizationTask
from tests.support.scenes import box, detections, image, tables

TASK = LocalizationTask()
GROUND_TRUTH = tables(
    [image(7), image(3, width=100, height=80), image(12), image(5)],
    [
        box(1, 7, 5, (10, 20, 30, 40)),
        box(2, 3, 2, (0, 0, 50, 20)),
        box(3, 12, 5, (100, 100, 40, 40)),
        box(4, 5, 2, (8, 8, 20, 20)),
    ],
)


def test_scores_of_four_images_computed_by_hand() -> None:
    predicted = detections(
        [
            (5, 2, (8, 8, 20, 12), 0.5),  # IoU 0.6, which is not above 0.6; class correct
            (7, 5, (10, 20, 30, 40), 0.9),  # exact, class correct
            (3, 5, (0, 0, 50, 10), 0.8),  # IoU 0.5, which is not above 0.5; class wrong
            (12, 5, (140, 140, -40, -40), 0.9),  # inverted: overlaps nothing; class correct
        ]
    )
    assert TASK.score(GROUND_TRUTH, predicted) == {
        "accuracy": 0.75,
        "mean_iou": pytest.approx((0.6 + 1 + 0.5 + 0) / 4),
        "iou_50": 0.5,
        "iou_60": 0.25,
    }


def test_image_without_prediction_is_wrong() -> None:
    assert TASK.score(GROUND_TRUTH, detections([(7, 5, (10, 20, 30, 40), 0.9)])) == {
        "accuracy": 0.25,
        "mean_iou": 0.25,
        "iou_50": 0.25,
        "iou_60": 0.25,
    }


def test_constant_baseline_is_mean_box_and_most_frequent_class() -> None:
    train = tables(
        [image(1, "train", 100, 200), image(2, "train", 50, 50), image(4, "train", 10, 10)],
        [box(1, 1, 5, (10, 20, 30, 40)), box(2, 2, 5, (10, 10, 10, 10)), box(3, 4, 2, (6, 3, 4, 5))],
    )
    ground_truth = tables([image(3, width=100, height=80)], [box(9, 3, 2, (1, 2, 3, 4))])
    [row] = TASK.constant_baseline(train, ground_truth).to_pylist()
    assert (row["image_id"], row["category_id"], row["score"]) == (3, 5, 1)
    # fractions (0.1, 0.1, 0.3, 0.2), (0.2, 0.2, 0.2, 0.2), (0.6, 0.3, 0.4, 0.5), mean (0.3, 0.2, 0.3, 0.3)
    assert [row[name] for name in ("x", "y", "width", "height")] == pytest.approx([30, 16, 30, 24])


def test_crowd_regions_affect_neither_scores_nor_baseline() -> None:
    crowd = box(9, 3, 5, (0, 0, 100, 80), is_crowd=True)
    scene = tables([image(3, width=100, height=80)], [crowd, box(2, 3, 2, (0, 0, 50, 20))])
    assert TASK.score(scene, detections([(3, 2, (0, 0, 50, 20), 0.9)]))["mean_iou"] == 1
    [row] = TASK.constant_baseline(scene, scene).to_pylist()
    assert [row[name] for name in ("category_id", "x", "y", "width", "height")] == [2, 0, 0, 50, 20]


NO_ROWS = tables([], [])
CROWD = box(1, 7, 5, (10, 20, 30, 40), is_crowd=True)


@pytest.mark.parametrize("scorer", ["hotcoco", "pycocotools"])
@pytest.mark.parametrize("scene", [NO_ROWS, tables([image(7)], []), tables([image(7)], [CROWD])])
@pytest.mark.parametrize("rows", [[], [(7, 5, (1, 2, 3, 4), 0.5)]])
def test_scores_without_any_box_are_none(scorer: ScorerName, scene: Tables, rows: Any) -> None:
    expected = dict.fromkeys(("accuracy", "mean_iou", "iou_50", "iou_60"))
    assert LocalizationTask(scorer).score(scene, detections(rows)) == expected


@pytest.mark.parametrize("train", [NO_ROWS, tables([image(7)], []), tables([image(7)], [CROWD])])
def test_constant_baseline_without_training_boxes_predicts_nothing(train: Tables) -> None:
    baseline = TASK.constant_baseline(train, GROUND_TRUTH)
    assert baseline.equals(schema.DETECTIONS.empty_table())
    assert TASK.score(GROUND_TRUTH, baseline) == {"accuracy": 0, "mean_iou": 0, "iou_50": 0, "iou_60": 0}


SIDE = st.integers(-300, 300).map(lambda number: number / 7)
POSITIVE_SIDE = st.integers(0, 300).map(lambda number: number / 7)
ROWS = st.lists(st.tuples(*[SIDE] * 4, *[POSITIVE_SIDE] * 2), min_size=1, max_size=9)


@given(ROWS, st.integers(1, 2**62 - 9))
def test_scores_equal_those_of_pycocotools_for_any_id(rows: list[Any], first_id: int) -> None:
    """Also for inverted boxes and for boxes without area. True box and prediction overlap often."""
    ids = range(first_id, first_id + len(rows))
    true = [box(i, i, 5, (x, y, width, height)) for i, (x, y, _, _, width, height) in zip(ids, rows, strict=True)]
    scene = tables([image(i) for i in ids], true)
    predicted = detections([(i, 5, (x, y, w, h), 0.5) for i, (x, y, w, h, *_) in zip(ids, rows, strict=True)])
    scores, reference = TASK.score(scene, predicted), LocalizationTask("pycocotools").score(scene, predicted)
    assert scores["mean_iou"] == pytest.approx(reference["mean_iou"], abs=1e-12, rel=0)
    assert scores["accuracy"] == reference["accuracy"] == 1
