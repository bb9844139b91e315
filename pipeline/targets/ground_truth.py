"""The annotated boxes of images, relative to the model input and with labels instead of category ids."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.datasets.annotations import boxes_xywh_of, rows_by_image
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.systems.common.labels import Labels


def ground_truth_by_image(
    boxes: pa.Table,
    image_ids: Iterable[int] | NDArray[np.int64],
    transforms: Mapping[int, ResizeTransform],
    labels: Labels,
) -> Iterator[LabeledBoxes]:
    """The ground truth of each image, in the order of `image_ids`.

    Args:
        boxes: a table with schema.BOXES, in pixels of the original images.
        image_ids: the images.
        transforms: the resize transform of each image, by image id.
        labels: the labels of the categories.

    """
    ids = [int(image_id) for image_id in image_ids]
    boxes_xywh, is_crowd = boxes_xywh_of(boxes), boxes["is_crowd"].to_numpy()
    box_labels = labels.from_category_ids(boxes["category_id"].to_numpy())
    for image_id, rows in zip(ids, rows_by_image(boxes, ids), strict=True):
        boxes_rel_xywh = transforms[image_id].apply_boxes(boxes_xywh[rows])
        yield LabeledBoxes(boxes_rel_xywh, box_labels[rows], is_crowd=is_crowd[rows])
