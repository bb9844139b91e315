"""Which boxes of an image make up a training example: the rules that several codecs share."""

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import medoid_box, xywh_to_xyxy
from pipeline.geometry.labeled_boxes import LabeledBoxes


def single_object(ground_truth: LabeledBoxes) -> list[NDArray[np.int64]]:
    """One example for an image with exactly one object, crowd regions aside; none for any other image."""
    rows = np.flatnonzero(~ground_truth.is_crowd)
    return [rows] if len(rows) == 1 else []


def medoid_object(ground_truth: LabeledBoxes) -> list[NDArray[np.int64]]:
    """One example with the object that overlaps the other objects most; none for an image without objects."""
    rows = np.flatnonzero(~ground_truth.is_crowd)
    return [rows[[medoid_box(xywh_to_xyxy(ground_truth.boxes_rel_xywh[rows]))]]] if len(rows) else []


def largest_objects(
    ground_truth: LabeledBoxes, is_object: NDArray[np.bool_], max_boxes: int
) -> list[NDArray[np.int64]]:
    """One example with at most `max_boxes` boxes: the largest objects, then the largest ignored regions."""
    areas = ground_truth.boxes_rel_xywh[:, 2] * ground_truth.boxes_rel_xywh[:, 3]
    return [np.sort(np.lexsort([-areas, ~is_object])[:max_boxes])]
