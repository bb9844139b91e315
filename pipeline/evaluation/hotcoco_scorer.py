"""COCO's evaluation by hotcoco, and TIDE's error types, which pycocotools does not have."""

from typing import Any

import hotcoco
import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.coco_scorer import MATCH_IOU, METRICS, CocoEvaluation, CocoScene, CocoScorer, metrics_by_name


class HotcocoScorer(CocoScorer):
    """The scorer for daily use: about 80 times as fast as pycocotools, with the same numbers."""

    def evaluate(self, scene: CocoScene) -> CocoEvaluation:
        """See `CocoScorer.evaluate`."""
        evaluation = _evaluate(scene)
        evaluation.accumulate()
        evaluation.summary_lines()  # computes the results; summarize() would print them, too
        results, accumulated = evaluation.get_results(), evaluation.eval
        assert accumulated is not None, "accumulate() was called"
        statuses = evaluation.image_diagnostics(iou_thr=MATCH_IOU)["dt_status"]
        by_detection = np.array([statuses.get(number, "") for number in range(1, len(scene.scores) + 1)], str)
        precision: NDArray[np.float64] = accumulated["precision"][..., -1]  # of 100 detections, not of 1 or 10
        return CocoEvaluation(
            metrics_by_name(np.array([results[name] for name in METRICS])),
            precision,
            by_detection == "tp",
            by_detection == "fp",
        )


def tide_errors(scene: CocoScene) -> dict[str, Any]:
    """TIDE's errors (Bolya et al., 2020): `counts` and `delta_ap`, the AP50 lost, by error type."""
    errors: dict[str, Any] = _evaluate(scene).tide_errors(pos_thr=MATCH_IOU)
    return errors


def _evaluate(scene: CocoScene) -> hotcoco.COCOeval:
    """Match detections with boxes. Ids count from 1 in the order of the scene: 0 means no match."""
    sizes = enumerate(scene.image_sizes.tolist(), 1)
    coco = hotcoco.COCO.from_arrays(
        images=[{"id": number, "width": width, "height": height} for number, (width, height) in sizes],
        categories=[{"id": number, "name": str(number)} for number in range(1, len(scene.category_ids) + 1)],
        image_ids=scene.box_images + 1,
        category_ids=scene.box_categories + 1,
        boxes=scene.boxes_xywh,
        ids=np.arange(1, len(scene.areas) + 1),
        area=scene.areas,
        iscrowd=scene.is_crowd,
    )
    columns = [scene.detection_images + 1, scene.detections_xywh, scene.scores, scene.detection_categories + 1]
    evaluation = hotcoco.COCOeval(coco, coco.load_res(np.column_stack(columns)), "bbox")
    evaluation.evaluate()
    return evaluation
