"""Predictions as a table, in pixels of the original images."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.geometry.boxes import Boxes
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.systems.common.labels import Labels


def detections_table(
    image_ids: NDArray[np.int64], category_ids: NDArray[np.int32], boxes_xywh: Boxes, scores: NDArray[np.float64]
) -> pa.Table:
    """Columns of length N, boxes [N, 4] in pixels of the original, as a table with schema.DETECTIONS."""
    columns = [image_ids, category_ids, *boxes_xywh.T, scores]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema.DETECTIONS, strict=True)], schema.DETECTIONS)


def detections_in_image_coordinates(
    predictions: Sequence[LabeledBoxes],
    image_ids: NDArray[np.int64],
    transforms: Mapping[int, ResizeTransform],
    labels: Labels,
) -> pa.Table:
    """Map predictions from the model input to pixels of the original images.

    Args:
        predictions: one record per image, relative to the model input, without background labels.
        image_ids: the image of each record, int64 [B].
        transforms: the resize transforms of these images, by image id.
        labels: the labels of the model.

    Returns:
        A table with schema.DETECTIONS: image by image, the boxes of each image in the order given.

    """
    if not len(predictions):
        return schema.DETECTIONS.empty_table()
    ids = image_ids.tolist()
    boxes_xywh = [
        transforms[image_id].inverse_boxes(boxes.boxes_rel_xywh)
        for image_id, boxes in zip(ids, predictions, strict=True)
    ]
    return detections_table(
        np.repeat(image_ids, [len(boxes) for boxes in predictions]),
        labels.category_ids[np.concatenate([boxes.labels for boxes in predictions])],
        np.concatenate(boxes_xywh),
        np.concatenate([_scores_of(boxes) for boxes in predictions]),
    )


def _scores_of(predictions: LabeledBoxes) -> NDArray[np.float64]:
    assert predictions.scores is not None, "predictions have scores"
    return predictions.scores
