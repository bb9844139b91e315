"""Scores of localizers, computed by hand."""

import pytest

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
