"""Random scenes, and their evaluation by pycocotools, an independent implementation."""

import contextlib
import io
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.datasets.annotations import Tables
from tests.support.scenes import box, detections, image, tables

IMAGE_IDS = (7, 3, 12)
BOX = st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 40), st.integers(1, 40))
TRUE_BOX = st.tuples(st.sampled_from(IMAGE_IDS), st.sampled_from([2, 5]), BOX, st.booleans())
PREDICTED_BOX = st.tuples(st.sampled_from(IMAGE_IDS), st.sampled_from([2, 5]), BOX, st.floats(0.01, 1))


@st.composite
def scenes(draw: Any) -> tuple[Tables, pa.Table]:
    """Draw boxes and crowd regions of two classes in three images, and detections."""
    true_boxes = draw(st.lists(TRUE_BOX, min_size=1, max_size=12))
    predicted_boxes = draw(st.lists(PREDICTED_BOX, min_size=1, max_size=30))
    ground_truth = tables(
        [image(image_id, width=100, height=80) for image_id in IMAGE_IDS],
        [box(i, image_id, c, xywh, is_crowd=crowd) for i, (image_id, c, xywh, crowd) in enumerate(true_boxes, 1)],
    )
    # Equal scores may be ranked either way, so all scores differ. Shifted true boxes give IoUs at every threshold.
    predicted = [(i, c, xywh, s - 1e-4 * rank) for rank, (i, c, xywh, s) in enumerate(predicted_boxes)]
    predicted += [
        (i, c, (x + 1, y, w, h + 1), 0.5 - 1e-3 * rank) for rank, (i, c, (x, y, w, h), _) in enumerate(true_boxes)
    ]
    return ground_truth, detections(predicted)


def pycocotools_evaluation(ground_truth: Tables, predicted: pa.Table) -> COCOeval:
    """Evaluate dictionaries in COCO's format; the result is accumulated and summarized."""
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [
            {"id": r["image_id"], "width": r["width"], "height": r["height"]} for r in ground_truth.images.to_pylist()
        ],
        "categories": [{"id": r["category_id"], "name": r["name"]} for r in ground_truth.categories.to_pylist()],
        "annotations": [
            {
                "id": r["box_id"],
                "image_id": r["image_id"],
                "category_id": r["category_id"],
                "bbox": [r["x"], r["y"], r["width"], r["height"]],
                "area": r["area"],
                "iscrowd": int(r["is_crowd"]),
            }
            for r in ground_truth.boxes.to_pylist()
        ],
    }
    results = [
        {
            "image_id": r["image_id"],
            "category_id": r["category_id"],
            "bbox": [r["x"], r["y"], r["width"], r["height"]],
            "score": r["score"],
        }
        for r in predicted.to_pylist()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation
