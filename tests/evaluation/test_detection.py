"""Scores of detectors: scenes computed by hand, and pycocotools on random scenes."""

import numpy as np
import pytest

from pipeline.core import schema
from pipeline.evaluation.detection import DetectionTask
from tests.support.scenes import box, detections, image, tables

TASK = DetectionTask()
GROUND_TRUTH = tables(
    [image(7), image(3, width=100, height=80), image(12)],
    [box(1, 7, 5, (10, 20, 30, 40)), box(4, 3, 2, (0, 0, 50, 20)), box(9, 7, 2, (600, 400, 40, 27))],
)


def test_ground_truth_as_detections_scores_one() -> None:
    predicted = detections(
        [(7, 5, (10, 20, 30, 40), 0.9), (3, 2, (0, 0, 50, 20), 0.8), (7, 2, (600, 400, 40, 27), 0.7)]
    )
    assert TASK.score(GROUND_TRUTH, predicted) == {name: pytest.approx(1) for name in ("AP", "AP50", "AP75")}


def test_no_detections_score_zero() -> None:
    assert TASK.score(GROUND_TRUTH, detections([])) == {"AP": 0, "AP50": 0, "AP75": 0}


def test_scores_of_two_images_computed_by_hand() -> None:
    # Category 5: its only box is detected with IoU 30 x 30 / (30 x 40) = 0.75, a match at IoU 0.50 to 0.75, 6 of 10.
    # Category 2: one of two boxes is detected exactly; precision 1 up to recall 0.5: 51 of COCO's 101 recall points.
    predicted = detections([(7, 5, (10, 20, 30, 30), 0.9), (3, 2, (0, 0, 50, 20), 0.8)])
    assert TASK.score(GROUND_TRUTH, predicted) == {
        "AP": pytest.approx((0.6 + 51 / 101) / 2),
        "AP50": pytest.approx((1 + 51 / 101) / 2),
        "AP75": pytest.approx((1 + 51 / 101) / 2),
    }


def test_detection_in_crowd_region_is_ignored() -> None:
    crowd = box(5, 3, 2, (60, 10, 30, 60), is_crowd=True)
    ground_truth = tables([image(3, width=100, height=80)], [box(4, 3, 2, (0, 0, 50, 20)), crowd])
    predicted = detections([(3, 2, (62, 12, 10, 10), 0.9), (3, 2, (0, 0, 50, 20), 0.8)])
    assert TASK.score(ground_truth, predicted)["AP"] == pytest.approx(1)


def test_constant_baseline_without_training_boxes_predicts_nothing() -> None:
    train = tables([image(1, "train")], [])
    assert TASK.constant_baseline(train, GROUND_TRUTH).equals(schema.DETECTIONS.empty_table())
    assert TASK.constant_baseline(tables([], []), GROUND_TRUTH).equals(schema.DETECTIONS.empty_table())


def test_constant_baseline_is_median_box_of_each_category_ranked_by_frequency() -> None:
    train = tables(
        [image(1, "train", 100, 200), image(2, "train", 50, 50), image(8, "train", 10, 10)],
        [
            box(1, 1, 5, (10, 20, 30, 40)),  # 0.1, 0.1, 0.3, 0.2
            box(2, 2, 5, (10, 10, 10, 10)),  # 0.2, 0.2, 0.2, 0.2
            box(3, 2, 5, (20, 20, 20, 20)),  # 0.4, 0.4, 0.4, 0.4
            box(4, 2, 2, (5, 0, 25, 50)),  # 0.1, 0.0, 0.5, 1.0
        ],
    )
    ground_truth = tables([image(7, width=640, height=400), image(3, width=100, height=80)], [])
    rows = TASK.constant_baseline(train, ground_truth).to_pylist()
    assert [(row["image_id"], row["category_id"]) for row in rows] == [(7, 5), (7, 2), (3, 5), (3, 2)]
    # category 5 is in two of three training images, category 2 in one
    assert [row["score"] for row in rows] == pytest.approx([2 / 3, 1 / 3] * 2)
    assert [rows[0][name] for name in ("x", "y", "width", "height")] == pytest.approx([128, 80, 192, 80])
    assert [rows[3][name] for name in ("x", "y", "width", "height")] == pytest.approx([10, 0, 50, 80])


def test_constant_baseline_has_at_most_the_hundred_detections_that_coco_scores() -> None:
    boxes = [box(i, 1, i, (1, 1, 5, 5)) for i in range(1, 131)]
    train = tables([image(1, "train")], boxes)
    predicted = TASK.constant_baseline(train, tables([image(7)], []))
    assert predicted.num_rows == 100
    assert len(np.unique(predicted["category_id"].to_numpy())) == 100
