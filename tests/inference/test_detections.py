"""Predictions mapped to pixels of the original images."""

import numpy as np
import pytest

from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import letterbox
from pipeline.inference.detections import detections_in_image_coordinates
from pipeline.systems.common.labels import Labels

LABELS = Labels(np.array([0, 11, 0, 13], np.int32), ["nothing", "cat", "nothing", "dog"])


def test_boxes_get_pixels_of_their_own_image_and_its_categories() -> None:
    transforms = {70: letterbox(640, 320, 160), 30: letterbox(80, 160, 160)}
    predictions = [
        LabeledBoxes(np.array([[0.0, 0.25, 1.0, 0.5], [0.5, 0.5, 0.1, 0.1]]), np.array([1, 3]), np.array([0.7, 0.8])),
        LabeledBoxes(np.array([[0.25, 0.0, 0.5, 1.0]]), np.array([3]), np.array([0.9])),
    ]
    table = detections_in_image_coordinates(predictions, np.array([70, 30]), transforms, LABELS)
    assert table["image_id"].to_pylist() == [70, 70, 30]
    assert table["category_id"].to_pylist() == [11, 13, 13]
    assert table["score"].to_pylist() == [0.7, 0.8, 0.9]
    boxes = [[row[name] for name in ("x", "y", "width", "height")] for row in table.to_pylist()]
    # 640 x 320 is scaled by 1/4, with 40 px above and below; 80 x 160 keeps its size, with 40 px left and right.
    assert boxes[0] == pytest.approx([0, 0, 640, 320])
    assert boxes[1] == pytest.approx([320, 160, 64, 64])
    assert boxes[2] == pytest.approx([0, 0, 80, 160])


def test_no_predictions_give_an_empty_table() -> None:
    nothing = LabeledBoxes(np.empty((0, 4)), np.empty(0, int), np.empty(0))
    transforms = {1: letterbox(10, 10, 10)}
    assert detections_in_image_coordinates([nothing], np.array([1]), transforms, LABELS).num_rows == 0
    assert detections_in_image_coordinates([], np.empty(0, int), transforms, LABELS).num_rows == 0
