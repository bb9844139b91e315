import numpy as np
import pytest

from pipeline.evaluation.detections import to_original
from pipeline.geometry.resize import letterbox
from pipeline.systems.interfaces import Decoded


def test_boxes_return_to_each_images_own_pixels_and_categories() -> None:
    transforms = {70: letterbox(640, 320, 160), 30: letterbox(80, 160, 160)}
    decoded = Decoded(
        rows=np.array([1, 0, 0, 1]),
        boxes_rel_xywh=np.array([[0.25, 0.0, 0.5, 1.0], [0.0, 0.25, 1.0, 0.5], [0.5, 0.5, 0.1, 0.1], [0, 0, 1, 1]]),
        labels=np.array([3, 1, 3, 2]),
        scores=np.array([0.9, 0.8, 0.7, 0.6]),
    )
    # label 2 stands for no category and is left out
    table = to_original(decoded, np.array([70, 30]), transforms, np.array([0, 11, 0, 13], np.int32))
    assert table["image_id"].to_pylist() == [30, 70, 70]
    assert table["category_id"].to_pylist() == [13, 11, 13]
    assert table["score"].to_pylist() == [0.9, 0.8, 0.7]
    boxes = [[row[name] for name in ("x", "y", "width", "height")] for row in table.to_pylist()]
    # 80 x 160 keeps its size, 40 px of padding left and right; 640 x 320 is scaled by 4, 40 px above and below
    assert boxes[0] == pytest.approx([0, 0, 80, 160])
    assert boxes[1] == pytest.approx([0, 0, 640, 320])
    assert boxes[2] == pytest.approx([320, 160, 64, 64])


def test_nothing_found_is_an_empty_table() -> None:
    nothing = Decoded(np.empty(0, int), np.empty((0, 4)), np.empty(0, int), np.empty(0))
    assert to_original(nothing, np.array([1]), {}, np.array([0, 1], np.int32)).num_rows == 0
