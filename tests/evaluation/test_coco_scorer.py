"""Both scorers on perturbed data: they agree, and give for ids of any size what pycocotools gives for small ones."""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables
from pipeline.evaluation.coco_scorer import METRICS, CocoEvaluation, CocoScene, get_scorer
from pipeline.evaluation.detection import DetectionTask
from pipeline.evaluation.detection_errors import analyze_errors
from pipeline.systems.common.detectors import MAX_DETECTIONS
from tests.support.coco_reference import category_ids, image_ids, perturbed_scenes, pycocotools_evaluation, with_ids
from tests.support.scenes import box, detections, image, tables

SMALL_IDS = (1, 2, 3), (1, 2)
HOTCOCO, PYCOCOTOOLS = get_scorer("hotcoco"), get_scorer("pycocotools")


def assert_equal(one: CocoEvaluation, other: CocoEvaluation) -> None:
    assert tuple(one.metrics) == tuple(other.metrics) == METRICS
    assert one.metrics == {name: approx(value) for name, value in other.metrics.items()}
    assert one.precision == pytest.approx(other.precision, abs=1e-12, rel=0)
    assert one.true_positive.tolist() == other.true_positive.tolist()
    assert one.false_positive.tolist() == other.false_positive.tolist()


def approx(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, abs=1e-12, rel=0)


@settings(max_examples=25)
@given(perturbed_scenes())
def test_scorers_agree_on_perturbed_data(scene: tuple[Tables, pa.Table]) -> None:
    numbered = CocoScene.of(*scene)
    assert_equal(HOTCOCO.evaluate(numbered), PYCOCOTOOLS.evaluate(numbered))


@settings(max_examples=10)
@given(perturbed_scenes(min_boxes=1))
def test_scores_are_those_of_pycocotools_on_the_ids_themselves(scene: tuple[Tables, pa.Table]) -> None:
    reference = zip(METRICS, pycocotools_evaluation(*scene).stats, strict=True)
    expected = {name: approx(None if value == -1 else value) for name, value in reference}
    assert HOTCOCO.evaluate(CocoScene.of(*scene)).metrics == expected


@settings(max_examples=30)
@given(perturbed_scenes(), image_ids(3), category_ids(2))
def test_scores_and_errors_do_not_depend_on_the_ids(
    scene: tuple[Tables, pa.Table], images: tuple[int, ...], categories: tuple[int, ...]
) -> None:
    """Ids near every bound that a reader accepts, with gaps, in the same order."""
    small, large = with_ids(*scene, *SMALL_IDS), with_ids(*scene, images, categories)
    assert DetectionTask().score(*small) == DetectionTask().score(*large)
    expected, analysis = analyze_errors(*small), analyze_errors(*large)
    numbers = dict(zip(SMALL_IDS[0], images, strict=True))
    assert [numbers[i] for i in expected.worst_image_ids.tolist()] == analysis.worst_image_ids.tolist()
    assert without_ids(expected.report) == without_ids(analysis.report)
    assert analysis.images["image_id"].to_pylist() == sorted(images)
    counts = ("boxes", "matched", "missed", "wrong")
    assert analysis.images.select(counts).equals(expected.images.select(counts))


def without_ids(report: dict[str, Any]) -> dict[str, Any]:
    hidden = ("image_id", "category_id", "file_name")
    return {
        key: [{k: v for k, v in row.items() if k not in hidden} for row in rows] if isinstance(rows, list) else rows
        for key, rows in report.items()
    }


@pytest.mark.parametrize(("rank", "num_true"), [(0, 1), (MAX_DETECTIONS - 1, 1), (MAX_DETECTIONS, 0)])
def test_detections_beyond_one_hundred_are_neither_right_nor_wrong(rank: int, num_true: int) -> None:
    """The correct detection has that rank among equal scores, which are ranked in the order of the table."""
    boxes = [(7, 5, (10, 20, 30, 40) if i == rank else (200, 200, 5, 5), 0.5) for i in range(MAX_DETECTIONS + 20)]
    scene = CocoScene.of(tables([image(7)], [box(1, 7, 5, (10, 20, 30, 40))]), detections(boxes))
    evaluation = HOTCOCO.evaluate(scene)
    assert evaluation.true_positive.sum() == num_true
    assert (evaluation.true_positive | evaluation.false_positive).sum() == MAX_DETECTIONS
    assert_equal(evaluation, PYCOCOTOOLS.evaluate(scene))


NO_ROWS = tables([], [])
EMPTY: dict[str, tuple[Tables, pa.Table]] = {
    "nothing": (NO_ROWS, detections([])),
    "no category": (dataclasses.replace(NO_ROWS, categories=NO_ROWS.categories.slice(0, 0)), detections([])),
    "image without boxes": (tables([image(7)], []), detections([])),
    "detection without boxes": (tables([image(7)], []), detections([(7, 5, (1, 2, 3, 4), 1.0)])),
    "crowd region alone": (
        tables([image(7)], [box(1, 7, 5, (1, 2, 30, 40), is_crowd=True)]),
        detections([(7, 5, (1, 2, 3, 4), 1.0)]),
    ),
}


@pytest.mark.parametrize("name", EMPTY)
def test_metrics_without_any_box_are_none_and_not_minus_one(name: str) -> None:
    scene = CocoScene.of(*EMPTY[name])
    for scorer in (HOTCOCO, PYCOCOTOOLS):
        assert scorer.evaluate(scene).metrics == dict.fromkeys(METRICS)
    assert_equal(HOTCOCO.evaluate(scene), PYCOCOTOOLS.evaluate(scene))
    assert DetectionTask().score(*EMPTY[name]) == {"AP": None, "AP50": None, "AP75": None}


@pytest.mark.parametrize("scorer", [HOTCOCO, PYCOCOTOOLS], ids=["hotcoco", "pycocotools"])
def test_boxes_without_detections_score_zero(scorer: Any) -> None:
    scene = CocoScene.of(tables([image(7)], [box(1, 7, 5, (1, 2, 30, 40))]), detections([]))
    others = dict.fromkeys(("APs", "APl", "ARs", "ARl"))  # the only box is medium
    assert scorer.evaluate(scene).metrics == {**dict.fromkeys(METRICS, 0), **others}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((8, 5, (1, 2, 3, 4), 0.5), "image_id 8"),
        ((2**62, 5, (1, 2, 3, 4), 0.5), f"image_id {2**62}"),
        ((7, 3, (1, 2, 3, 4), 0.5), "category_id 3"),
        ((7, 6, (1, 2, 3, 4), 0.5), "category_id 6"),
    ],
)
def test_detections_of_other_data_are_rejected(row: Any, message: str) -> None:
    predicted = detections([(7, 5, (1, 2, 3, 4), 0.9), row])
    with pytest.raises(BoxlineError) as raised:
        CocoScene.of(tables([image(7)], []), predicted)
    assert str(raised.value) == (
        f"Row 2 of the detections has {message}, which the scored data do not have. "
        "`dvc repro` evaluates again after a change of the data."
    )


def test_scene_numbers_rows_in_the_order_of_ids() -> None:
    scene = CocoScene.of(
        tables([image(9, width=40, height=30), image(4, width=20, height=10)], [box(1, 9, 5, (1, 2, 3, 4))]),
        detections([(4, 2, (1, 2, 3, 4), 0.9)]),
    )
    assert scene.image_sizes.tolist() == [[20, 10], [40, 30]]
    assert scene.category_ids.tolist() == [2, 5]
    assert (scene.box_images.tolist(), scene.box_categories.tolist()) == ([1], [1])
    assert (scene.detection_images.tolist(), scene.detection_categories.tolist()) == ([0], [0])
    assert np.array_equal(scene.detections_xywh, [[1, 2, 3, 4]])
