"""Scores of detectors: COCO's average precision, and what a constant answer would get."""

import hotcoco
import numpy as np
import pyarrow as pa

from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_scale_of
from pipeline.evaluation.detections import detections_table

PRIMARY_METRIC = "AP"

MAX_DETECTIONS = 100
"""COCO counts at most so many detections of one image."""


def score(truth: Tables, detections: pa.Table) -> dict[str, float]:
    """`AP` (mean over IoU 0.50 to 0.95), `AP50`, `AP75` of boxes, each 0..1, over all images of `truth`.

    Crowd boxes are regions to ignore. Categories without a box in `truth` do not count.
    """
    evaluation = evaluation_of(truth, detections)
    evaluation.summary_lines()  # fills the results; summarize() would print them as well
    results = evaluation.get_results()
    # -1 is COCO's word for "no box to find". Reported as 0, so that every score stays in 0..1.
    return {name: max(0.0, float(results[name])) for name in ("AP", "AP50", "AP75")}


def evaluation_of(truth: Tables, detections: pa.Table) -> hotcoco.COCOeval:
    """COCO's evaluation of boxes, accumulated. The id of a detection there is its row, counted from 1."""
    images = truth.images.select(["image_id", "width", "height"]).rename_columns(["id", "width", "height"])
    categories = truth.categories.select(["category_id", "name"]).rename_columns(["id", "name"])
    ground = hotcoco.COCO.from_arrays(
        images=images.to_pylist(),
        categories=categories.to_pylist(),
        image_ids=truth.boxes["image_id"].to_numpy(),
        category_ids=truth.boxes["category_id"].to_numpy(),
        boxes=boxes_xywh_of(truth.boxes),
        ids=truth.boxes["box_id"].to_numpy(),
        area=truth.boxes["area"].to_numpy(),
        iscrowd=truth.boxes["is_crowd"].to_numpy(),
    )
    found = ground.load_res(
        np.column_stack(
            [
                detections["image_id"].to_numpy(),
                boxes_xywh_of(detections),
                detections["score"].to_numpy(),
                detections["category_id"].to_numpy(),
            ]
        )
    )
    evaluation = hotcoco.COCOeval(ground, found, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def constant_baseline(train: Tables, truth: Tables) -> pa.Table:
    """The same boxes for every image: each category's median training box, in fractions of the image.

    The score of a box is the share of training images that hold its category, so the commonest come first.
    """
    fractions_xywh = boxes_xywh_of(train.boxes) / image_scale_of(train.boxes, train.images)
    category_ids = train.boxes["category_id"].to_numpy()
    holders = train.boxes.select(["category_id", "image_id"]).group_by("category_id")
    counts = holders.aggregate([("image_id", "count_distinct")]).sort_by("category_id")
    shares = counts["image_id_count_distinct"].to_numpy() / train.images.num_rows
    commonest = np.argsort(-shares, kind="stable")[:MAX_DETECTIONS]
    answer_ids = counts["category_id"].to_numpy()[commonest]
    medians = np.array([np.median(fractions_xywh[category_ids == category], axis=0) for category in answer_ids])
    repeated = truth.images.take(np.repeat(np.arange(truth.images.num_rows), len(answer_ids)))
    return detections_table(
        repeated["image_id"].to_numpy(),
        np.tile(answer_ids, truth.images.num_rows),
        np.tile(medians, (truth.images.num_rows, 1)) * image_scale_of(repeated, truth.images),
        np.tile(shares[commonest], truth.images.num_rows),
    )
