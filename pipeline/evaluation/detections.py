"""What a model found, as a table in pixels of the original images."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.geometry.boxes import Boxes
from pipeline.geometry.resize import ResizeTransform
from pipeline.systems.interfaces import NO_CATEGORY, Decoded


def detections_table(
    image_ids: NDArray[np.int64], category_ids: NDArray[np.int32], boxes_xywh: Boxes, scores: NDArray[np.float64]
) -> pa.Table:
    """Columns of length N as a table with schema.DETECTIONS."""
    columns = [image_ids, category_ids, *boxes_xywh.T, scores]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema.DETECTIONS, strict=True)], schema.DETECTIONS)


def to_original(
    decoded: Decoded,
    image_ids: NDArray[np.int64],
    transforms: Mapping[int, ResizeTransform],
    label_to_category_id: NDArray[np.int32],
) -> pa.Table:
    """Decoded boxes of a batch, whose rows are `image_ids`, back in each original image's pixels.

    Labels that stand for no category are left out.
    """
    category_ids = label_to_category_id[decoded.labels]
    kept = category_ids != NO_CATEGORY
    rows = decoded.rows[kept]
    boxes_xywh = np.array(decoded.boxes_rel_xywh[kept], np.float64)
    for row in np.unique(rows):
        here = rows == row
        boxes_xywh[here] = transforms[int(image_ids[row])].inverse_boxes(boxes_xywh[here])
    return detections_table(image_ids[rows], category_ids[kept], boxes_xywh, decoded.scores[kept])
