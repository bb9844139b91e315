"""Random scenes, and what pycocotools makes of them: an evaluation of another make."""

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
FOUND_BOX = st.tuples(st.sampled_from(IMAGE_IDS), st.sampled_from([2, 5]), BOX, st.floats(0.01, 1))


@st.composite
def scenes(draw: Any) -> tuple[Tables, pa.Table]:
    """Boxes and crowd regions of two classes in three images, and detections of them."""
    true_boxes = draw(st.lists(TRUE_BOX, min_size=1, max_size=12))
    found_boxes = draw(st.lists(FOUND_BOX, min_size=1, max_size=30))
    truth = tables(
        [image(image_id, width=100, height=80) for image_id in IMAGE_IDS],
        [box(i, image_id, c, xywh, is_crowd=crowd) for i, (image_id, c, xywh, crowd) in enumerate(true_boxes, 1)],
    )
    # Equal scores may be ranked either way, so no two are equal here; near misses make every threshold matter.
    found = [(i, c, xywh, s - 1e-4 * rank) for rank, (i, c, xywh, s) in enumerate(found_boxes)]
    found += [
        (i, c, (x + 1, y, w, h + 1), 0.5 - 1e-3 * rank) for rank, (i, c, (x, y, w, h), _) in enumerate(true_boxes)
    ]
    return truth, detections(found)


def pycocotools_evaluation(truth: Tables, found: pa.Table) -> COCOeval:
    """Accumulated and summarized, fed with COCO's own dictionaries."""
    ground = COCO()
    ground.dataset = {
        "info": {},
        "images": [{"id": r["image_id"], "width": r["width"], "height": r["height"]} for r in truth.images.to_pylist()],
        "categories": [{"id": r["category_id"], "name": r["name"]} for r in truth.categories.to_pylist()],
        "annotations": [
            {
                "id": r["box_id"],
                "image_id": r["image_id"],
                "category_id": r["category_id"],
                "bbox": [r["x"], r["y"], r["width"], r["height"]],
                "area": r["area"],
                "iscrowd": int(r["is_crowd"]),
            }
            for r in truth.boxes.to_pylist()
        ],
    }
    results = [
        {
            "image_id": r["image_id"],
            "category_id": r["category_id"],
            "bbox": [r["x"], r["y"], r["width"], r["height"]],
            "score": r["score"],
        }
        for r in found.to_pylist()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        ground.createIndex()
        evaluation = COCOeval(ground, ground.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation
