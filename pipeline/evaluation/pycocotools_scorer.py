"""COCO's evaluation by pycocotools, the implementation of COCO's authors."""

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.evaluation.coco_scorer import MATCH_IOU, CocoEvaluation, CocoScene, CocoScorer, metrics_by_name
from pipeline.geometry.boxes import Boxes


class PycocotoolsScorer(CocoScorer):
    """The reference: slow, and what published scores were computed with."""

    def evaluate(self, scene: CocoScene) -> CocoEvaluation:
        """See `CocoScorer.evaluate`."""
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(*_as_coco(scene), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        true_positive, false_positive = _match_statuses(evaluation, len(scene.scores))
        return CocoEvaluation(
            metrics_by_name(evaluation.stats), evaluation.eval["precision"][..., -1], true_positive, false_positive
        )


def _as_coco(scene: CocoScene) -> tuple[COCO, COCO]:
    """Ground truth and detections. Ids count from 1 in the order of the scene: 0 means no match.

    `COCO.loadRes` is not used, since it fails without detections.
    """
    images = [{"id": number} for number in range(1, len(scene.image_sizes) + 1)]
    categories = [{"id": number} for number in range(1, len(scene.category_ids) + 1)]
    sides = scene.detections_xywh[:, 2:]
    boxes = _annotations(
        scene.box_images, scene.box_categories, scene.boxes_xywh, scene.areas, iscrowd=scene.is_crowd.astype(int)
    )
    detections = _annotations(
        scene.detection_images,
        scene.detection_categories,
        scene.detections_xywh,
        sides[:, 0] * sides[:, 1],
        iscrowd=np.zeros(len(sides), int),
        score=scene.scores,
    )
    return _coco(images, categories, boxes), _coco(images, categories, detections)


def _coco(images: list[Any], categories: list[Any], annotations: list[Any]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    coco.createIndex()
    return coco


def _annotations(
    images: NDArray[np.int64],
    categories: NDArray[np.int64],
    boxes_xywh: Boxes,
    areas: NDArray[np.float64],
    **others: NDArray[Any],
) -> list[dict[str, Any]]:
    """One dictionary per row in COCO's format."""
    columns = {
        "id": range(1, len(areas) + 1),
        "image_id": (images + 1).tolist(),
        "category_id": (categories + 1).tolist(),
        "bbox": boxes_xywh.tolist(),
        "area": areas.tolist(),
        **{name: values.tolist() for name, values in others.items()},
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _match_statuses(evaluation: COCOeval, num_detections: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each detection is a true and whether it is a false positive, at MATCH_IOU and over all sizes."""
    true_positive, false_positive = np.zeros(num_detections, bool), np.zeros(num_detections, bool)
    params = evaluation.params
    [iou_index] = np.flatnonzero(params.iouThrs == MATCH_IOU)
    for matches in evaluation.evalImgs:
        if matches is not None and matches["aRng"] == params.areaRng[0]:
            rows = np.array(matches["dtIds"], int) - 1
            is_matched, is_ignored = matches["dtMatches"][iou_index] > 0, matches["dtIgnore"][iou_index]
            true_positive[rows] = is_matched & ~is_ignored
            false_positive[rows] = ~is_matched & ~is_ignored
    return true_positive, false_positive
