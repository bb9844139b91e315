"""Random scenes, and their evaluation by pycocotools, an independent implementation."""

import contextlib
import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
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


SCORE = st.sampled_from([0.3, 0.5, 0.9]) | st.floats(0, 1)
"""Many ties."""

AREA_FACTOR = st.sampled_from([0, 0.4, 1, 30])
"""An outline may have another area than its box, and another size then."""


@st.composite
def perturbed_scenes(draw: Any, min_boxes: int = 0) -> tuple[Tables, pa.Table]:
    """Draw boxes and detections as tables of images 3, 7 and 12 with categories 2 and 5, as untidy as they come.

    Any table may be empty, and so may each image and class. Boxes have any area down to zero, crowd regions included;
    detections are true boxes moved by pixels, or anything, also inverted; many scores are equal. If `min_boxes` is
    positive, there is a detection, too.
    """
    side = st.integers(0, 40)
    xywh = st.tuples(st.integers(0, 60), st.integers(0, 40), side, side)
    true_box = st.tuples(st.sampled_from(IMAGE_IDS), st.sampled_from([2, 5]), xywh, st.booleans(), AREA_FACTOR)
    true_boxes = draw(st.lists(true_box, min_size=min_boxes, max_size=10))
    rows = [
        box(number, image_id, category_id, xywh, is_crowd=crowd) | {"area": float(xywh[2] * xywh[3] * factor)}
        for number, (image_id, category_id, xywh, crowd, factor) in enumerate(true_boxes, 1)
    ]
    shift = st.integers(-3, 3)
    moved = st.tuples(st.sampled_from(true_boxes or [(3, 2, (0, 0, 5, 5), False, 1)]), st.tuples(*[shift] * 4), SCORE)
    other = st.tuples(
        st.sampled_from(IMAGE_IDS), st.sampled_from([2, 5]), st.tuples(*[st.integers(-20, 60)] * 4), SCORE
    )
    predicted = [
        (image_id, category_id, tuple(np.add(xywh, change).tolist()), score)
        for (image_id, category_id, xywh, *_), change, score in draw(st.lists(moved, min_size=min_boxes, max_size=25))
    ]
    predicted += draw(st.lists(other, max_size=15))
    images = [image(image_id, width=100, height=80) for image_id in IMAGE_IDS]
    return tables(images, rows), detections(draw(st.permutations(predicted)))


def image_ids(count: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Neighboring ids of images that a reader accepts, near a bound of a number type, in ascending order."""
    first = st.sampled_from([1, 2**24 - 2, 2**31 - 2, 2**32 - 2, 2**53 - 2, 2**53, 2**62 - 2, 2**63 - 1 - 2 * count])
    gaps = st.lists(st.sampled_from([1, 2]), min_size=count, max_size=count)
    return st.builds(lambda start, steps: tuple(itertools.accumulate(steps, initial=start))[:count], first, gaps)


def category_ids(count: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Ids of categories that a reader accepts, in ascending order."""
    ids = st.sampled_from([1, 2, 90, 2**24, 2**24 + 1, 2**31 - 2, 2**31 - 1])
    return st.lists(ids, min_size=count, max_size=count, unique=True).map(sorted).map(tuple)


def with_ids(
    ground_truth: Tables, predicted: pa.Table, images: Sequence[int], categories: Sequence[int]
) -> tuple[Tables, pa.Table]:
    """The same scene with other ids, in the order of the present ones. Boxes are numbered down from 2^62."""
    new_images = dict(zip(sorted(ground_truth.images["image_id"].to_pylist()), images, strict=True))
    new_categories = dict(zip(sorted(ground_truth.categories["category_id"].to_pylist()), categories, strict=True))
    names = {"image_id": new_images, "category_id": new_categories}

    def renumbered(table: pa.Table) -> pa.Table:
        for name, new_ids in names.items():
            if name in table.schema.names:
                index, field = table.schema.get_field_index(name), table.schema.field(name)
                table = table.set_column(
                    index, field, pa.array([new_ids[i] for i in table[name].to_pylist()], field.type)
                )
        return table

    boxes = ground_truth.boxes
    index, field = boxes.schema.get_field_index("box_id"), boxes.schema.field("box_id")
    boxes = boxes.set_column(index, field, pa.array([2**62 - i for i in range(boxes.num_rows)], field.type))
    return (
        Tables(renumbered(ground_truth.images), renumbered(boxes), renumbered(ground_truth.categories)),
        renumbered(predicted),
    )


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
