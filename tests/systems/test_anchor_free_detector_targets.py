import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from pipeline.geometry.boxes import paired_iou, xyxy_to_xywh
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.anchor_free_detector.config import TargetsConfig
from pipeline.systems.anchor_free_detector.targets import NMS_IOU, SCORE_THRESHOLD, AnchorFreeCodec
from pipeline.systems.common.detectors import MAX_DETECTIONS
from tests.support.codecs import example_rows, round_trip
from tests.support.scenes import ground_truth

CODEC = AnchorFreeCodec()
FIVE = TargetsConfig(max_boxes=5)
CROWD_AND_TWO = ground_truth([[0, 0, 0.9, 0.8], [0.1, 0.2, 0.3, 0.5], [0.6, 0.1, 0.25, 0.125]], [3, 4, 1], crowds=[0])


def decode_cells(boxes_xyxy: ArrayLike, probabilities: ArrayLike) -> LabeledBoxes:
    """Decode one image whose cells predict these boxes, with these probabilities of each class."""
    odds = np.asarray(probabilities, np.float64)
    logits = np.log(odds / (1 - odds))
    [decoded] = CODEC.decode({"boxes": np.concatenate([np.asarray(boxes_xyxy, np.float64), logits], axis=1)[None]})
    return decoded


def test_labels_are_contiguous() -> None:
    assert CODEC.label_to_category_id([3, 1, 9]).tolist() == [1, 3, 9]


def test_encode_corners_labels_and_crowd_flags_with_padding() -> None:
    encoded = CODEC.encode(CROWD_AND_TWO, FIVE)["boxes"]
    expected = [[0, 0, 0.9, 0.8, 3, 1], [0.1, 0.2, 0.4, 0.7, 4, 0], [0.6, 0.1, 0.85, 0.225, 1, 0]]
    np.testing.assert_allclose(encoded, [*expected, *[[0, 0, 0, 0, -1, 0]] * 2], atol=1e-7)
    assert encoded.dtype == np.float32


def test_oracle_outputs_omit_crowd_regions_and_padding() -> None:
    assert CODEC.object_mask(CROWD_AND_TWO, FIVE).tolist() == [False, True, True]
    decoded = round_trip(CODEC, CROWD_AND_TWO, FIVE, num_labels=5)
    np.testing.assert_allclose(decoded.boxes_rel_xywh, [[0.1, 0.2, 0.3, 0.5], [0.6, 0.1, 0.25, 0.125]], atol=1e-7)
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([4, 1], [1, 1])


@pytest.mark.parametrize("training", [True, False])
def test_largest_objects_are_kept_before_crowd_regions(training: bool) -> None:
    def rows(boxes: LabeledBoxes, max_boxes: int) -> list[list[int]]:
        return example_rows(CODEC, boxes, TargetsConfig(max_boxes=max_boxes), training=training)

    boxes = ground_truth([[0, 0, 0.1, 0.1], [0, 0, 0.5, 0.4], [0, 0, 0.9, 0.9], [0, 0, 0.2, 0.2]], crowds=[2])
    assert rows(boxes, 2) == [[1, 3]]
    assert rows(boxes, 3) == [[0, 1, 3]]
    assert rows(boxes, 4) == [[0, 1, 2, 3]]
    assert rows(ground_truth([]), 4) == [[]]  # an image without boxes teaches the background
    assert rows(ground_truth([[0, 0, 1, 1]], crowds=[0]), 4) == [[0]]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 5)), unique_by=lambda cell: cell[:2], max_size=8
    )
)
def test_round_trip_of_disjoint_boxes(cells: list[tuple[int, int, int]]) -> None:
    """At most one box per cell of a 4 x 4 grid, each with its own size."""
    boxes = np.array([[x / 4, y / 4, (5 - x) / 20, (4 - y) / 16] for x, y, _ in cells]).reshape(-1, 4)
    labels = [label for _, _, label in cells]
    decoded = round_trip(CODEC, ground_truth(boxes, labels), TargetsConfig(max_boxes=8), num_labels=6)
    order, expected = np.lexsort(decoded.boxes_rel_xywh.round(3).T), np.lexsort(boxes.round(3).T)
    np.testing.assert_allclose(decoded.boxes_rel_xywh[order], boxes[expected], atol=1e-6)
    assert decoded.labels[order].tolist() == np.array(labels, int)[expected].tolist()
    assert (decoded.scores == 1).all()


def test_suppression_is_per_class() -> None:
    """The second box has IoU 0.8 with the first, the third has another class, the fourth has IoU 0.5 with the first."""
    boxes = [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.4], [0, 0, 0.5, 0.45], [0, 0, 0.25, 0.5]]
    decoded = decode_cells(boxes, [[0.9, 0.01], [0.8, 0.01], [0.01, 0.7], [0.6, 0.01]])
    np.testing.assert_allclose(decoded.boxes_rel_xywh, np.array(boxes)[[0, 2, 3]])
    assert decoded.labels.tolist() == [0, 1, 0]
    assert decoded.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])


def test_cell_predicts_several_classes() -> None:
    decoded = decode_cells([[0.1, 0.2, 0.4, 0.8]], [[0.3, 0.01, 0.6]])
    np.testing.assert_allclose(decoded.boxes_rel_xywh, [[0.1, 0.2, 0.3, 0.6]] * 2)
    assert decoded.labels.tolist() == [2, 0]
    assert decoded.scores.tolist() == pytest.approx([0.6, 0.3])


def test_scores_below_threshold_are_dropped() -> None:
    boxes = [[0, 0, 0.1, 0.1], [0.2, 0.2, 0.3, 0.3], [0.4, 0.4, 0.5, 0.5]]
    decoded = decode_cells(boxes, [[SCORE_THRESHOLD - 0.001], [SCORE_THRESHOLD + 0.001], [0.5]])
    assert decoded.scores.tolist() == pytest.approx([0.5, SCORE_THRESHOLD + 0.001])


def test_inverted_boxes_are_dropped_before_suppression() -> None:
    boxes = [[0.5, 0.1, 0.2, 0.6], [0.2, 0.6, 0.5, 0.1], [0.2, 0.1, 0.2, 0.6], [0.2, 0.1, 0.5, 0.6]]
    decoded = decode_cells(boxes, [[0.9], [0.8], [0.7], [0.6]])
    np.testing.assert_allclose(decoded.boxes_rel_xywh, [[0.2, 0.1, 0.3, 0.5]])
    assert decoded.scores.tolist() == pytest.approx([0.6])


def test_at_most_100_detections_over_all_classes() -> None:
    corners = np.stack(np.meshgrid(np.arange(12), np.arange(12)), axis=-1).reshape(-1, 2) / 12
    scores = np.linspace(0.1, 0.9, 144)
    probabilities = np.full((144, 2), 0.01)
    probabilities[np.arange(144), np.arange(144) % 2] = scores
    decoded = decode_cells(np.concatenate([corners, corners + 0.05], axis=1), probabilities)
    assert decoded.scores.tolist() == pytest.approx(scores[::-1][:MAX_DETECTIONS])
    assert decoded.labels.tolist() == [1, 0] * 50


def test_suppression_is_per_image() -> None:
    cells = np.array([[[0, 0, 0.5, 0.5, 2.0]], [[0, 0, 0.1, 0.1, -9.0]], [[0, 0, 0.5, 0.5, 1.0]]])
    decoded = CODEC.decode({"boxes": cells.astype(np.float32)})
    assert [len(boxes) for boxes in decoded] == [1, 0, 1]
    scores = [boxes.scores.tolist() for boxes in decoded if boxes.scores is not None]
    assert np.concatenate(scores) == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))])


def test_image_without_scores_above_threshold_has_no_boxes() -> None:
    decoded = decode_cells([[0, 0, 0.5, 0.5]], [[0.001, 0.001]])
    assert (decoded.boxes_rel_xywh.shape, decoded.labels.shape, decoded.scores.shape) == ((0, 4), (0,), (0,))


@given(st.integers(0, 10_000), st.integers(1, 40))
@settings(max_examples=50)
def test_decode_equals_greedy_suppression_per_class(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    low = random.uniform(-0.3, 0.6, (count, 2))
    boxes = np.concatenate([low, low + random.uniform(-0.05, 0.8, (count, 2))], axis=1)
    probabilities = random.uniform(0, 0.9, (count, 3)) ** 3
    expected = sorted(
        (row for label in range(3) for row in greedy(boxes, probabilities[:, label], label)), reverse=True
    )
    decoded = decode_cells(boxes, probabilities)
    assert list(zip(decoded.scores.tolist(), decoded.labels.tolist(), strict=True)) == [
        (pytest.approx(score), label) for score, label, _ in expected
    ]
    cells = [cell for *_, cell in expected]
    np.testing.assert_allclose(decoded.boxes_rel_xywh, xyxy_to_xywh(boxes[cells]), atol=1e-9)


def greedy(boxes: NDArray[np.float64], scores: NDArray[np.float64], label: int) -> list[tuple[float, int, int]]:
    """Score, label and row of the boxes of one class that are left."""
    kept: list[int] = []
    for row in np.argsort(-scores):
        if scores[row] > SCORE_THRESHOLD and (boxes[row, 2:] > boxes[row, :2]).all():
            overlaps = paired_iou(boxes[[row] * len(kept)], boxes[kept])
            assume((abs(overlaps - NMS_IOU) > 1e-4).all())
            if (overlaps < NMS_IOU).all():
                kept.append(int(row))
    return [(float(scores[row]), label, row) for row in kept]
