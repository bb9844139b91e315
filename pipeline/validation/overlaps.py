"""Boxes of one image that overlap each other."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.datasets.annotations import boxes_xywh_of
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy


def overlapping_rows(
    table: pa.Table, min_iou: float, *, same_class: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the first earlier box in the same image that each box overlaps.

    Args:
        table: boxes, schema.BOXES; crowd regions overlap nothing.
        min_iou: an overlap has a larger intersection over union, 0..1.
        same_class: whether both boxes have the same class, or different ones.

    Returns:
        The row of the earlier box, int64 [N], -1 if there is none, and the intersection over union, float64 [N].

    """
    splits = pc.dictionary_encode(table["split"].combine_chunks()).indices.to_numpy()
    # Boxes of an image are next to each other here, in the order of the table.
    order = np.lexsort((table["image_id"].to_numpy(), splits))
    images = np.stack([splits, table["image_id"].to_numpy()], axis=1)[order]
    classes = table["category_id"].to_numpy()[order]
    boxes_xyxy = xywh_to_xyxy(boxes_xywh_of(table))[order]
    single = ~table["is_crowd"].to_numpy()[order]
    others, ious = np.full(len(order), -1), np.zeros(len(order))
    later = np.arange(1, len(order))
    distance = 1
    while len(later := later[(images[later] == images[later - distance]).all(axis=1)]):
        earlier = later - distance
        is_pair = single[later] & single[earlier] & ((classes[later] == classes[earlier]) == same_class)
        pairs = later[is_pair]
        overlaps = paired_iou(boxes_xyxy[pairs], boxes_xyxy[pairs - distance])
        found = pairs[overlaps > min_iou]
        others[order[found]] = order[found - distance]
        ious[order[found]] = overlaps[overlaps > min_iou]
        distance += 1
        later = later[later >= distance]
    return others, ious
