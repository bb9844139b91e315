from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.pretrained.retinanet import RetinaNetWeights
from pipeline.systems.coco_retinanet.config import ModelConfig, TargetsConfig
from pipeline.systems.coco_retinanet.model import RetinaNet, RetinaNetFactory
from pipeline.systems.coco_retinanet.targets import RetinaNetCodec
from pipeline.systems.common.detectors import MAX_DETECTIONS
from pipeline.systems.common.interfaces import ModelShape
from tests.support.codecs import example_rows, round_trip
from tests.support.scenes import ground_truth

CODEC, FACTORY = RetinaNetCodec(), RetinaNetFactory()
FIVE = TargetsConfig(max_boxes=5, crowd="encode")
BOXES_REL_XYWH = np.array([[0.1, 0.2, 0.3, 0.5], [0.6, 0.1, 0.25, 0.125]])


def build(class_prior: float | None, targets: TargetsConfig, size: int, num_labels: int, weights: Any) -> keras.Model:
    return FACTORY.build_model(ModelConfig(class_prior=class_prior), targets, ModelShape(size, 3, num_labels), weights)


def random_weights(scale: str) -> keras.Model:
    return RetinaNetWeights().random_init(scale)


def test_labels_are_category_ids() -> None:
    assert CODEC.label_to_category_id([4, 1]).tolist() == [0, 1, 0, 0, 4]
    assert len(CODEC.label_to_category_id([1, 90])) == 91


def test_encode_pads_and_decode_drops_padding() -> None:
    scene = ground_truth(BOXES_REL_XYWH, [4, 1])
    targets = CODEC.encode(scene, FIVE)
    assert targets["labels"].tolist() == [4, 1, -1, -1, -1]
    assert targets["boxes"][2:].tolist() == [[-1] * 4] * 3
    decoded = round_trip(CODEC, scene, FIVE, num_labels=5)
    assert decoded.boxes_rel_xywh.tolist() == pytest.approx(BOXES_REL_XYWH, abs=1e-6)
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([4, 1], [1, 1])


def test_round_trip_of_image_without_boxes() -> None:
    decoded = round_trip(CODEC, ground_truth([]), FIVE, num_labels=5)
    assert (decoded.boxes_rel_xywh.shape, len(decoded)) == ((0, 4), 0)


def test_largest_boxes_are_kept() -> None:
    boxes = ground_truth([[0, 0, 0.1, 0.1], [0, 0, 0.5, 0.4], [0, 0, 0.2, 0.2]])
    assert example_rows(CODEC, boxes, TargetsConfig(max_boxes=2, crowd="encode")) == [[1, 2]]
    assert example_rows(CODEC, ground_truth([]), FIVE) == []
    assert example_rows(CODEC, ground_truth([]), FIVE, training=False) == [[]]


CROWD_AND_TWO = ground_truth([[0, 0, 0.9, 0.8], [0.1, 0.2, 0.3, 0.5], [0.6, 0.1, 0.25, 0.125]], [3, 4, 1], crowds=[0])
IGNORING = TargetsConfig(max_boxes=2, crowd="ignore")


def test_ignored_crowd_region_is_marked_and_dropped_first() -> None:
    wide = TargetsConfig(max_boxes=3, crowd="ignore")
    assert CODEC.encode(CROWD_AND_TWO, wide)["labels"].tolist() == [-2, 4, 1]
    assert CODEC.encode(CROWD_AND_TWO, FIVE)["labels"].tolist() == [3, 4, 1, -1, -1]
    assert example_rows(CODEC, CROWD_AND_TWO, IGNORING) == [[1, 2]]
    assert example_rows(CODEC, CROWD_AND_TWO, TargetsConfig(max_boxes=2, crowd="encode")) == [[0, 1]]
    assert example_rows(CODEC, CROWD_AND_TWO[np.array([0])], IGNORING) == []
    assert round_trip(CODEC, CROWD_AND_TWO, wide, num_labels=5).labels.tolist() == [4, 1]


@pytest.mark.slow
def test_anchors_in_crowd_region_are_ignored_unless_matched(tmp_path: Path) -> None:
    crowded = build(None, IGNORING, 64, 5, random_weights("small"))
    plain = build(None, FIVE, 64, 5, random_weights("small"))
    images = np.zeros((2, 64, 64, 3), np.float32)
    region, box = [0, 2, 48, 40], [4, 8, 32, 32]  # pixels, xywh: the object lies in the region
    boxes = np.float32([[region, box], [box, [-64] * 4]]) / 64
    labels = np.float32([[-2, 4], [4, -1]])
    without_region = np.where(labels[..., None] == -2, -1, boxes)
    expected_deltas, expected = (
        np.array(values) for values in plain.label_encoder(images, without_region, np.maximum(labels, -1))
    )
    anchors = np.concatenate([np.asarray(level) for level in plain.anchor_generator(images).values()])
    shared = np.minimum(anchors[:, 2:], [48, 42]) - np.maximum(anchors[:, :2], [0, 2])
    inside = np.maximum(shared, 0).prod(axis=1) >= (anchors[:, 2:] - anchors[:, :2]).prod(axis=1) / 2
    assert 0 < inside.sum() < len(anchors)
    assert (expected[0][inside] == 4).any()
    expected[0] = np.where(inside & (expected[0] == -1), -2, expected[0])
    deltas, encoded_labels = (np.asarray(values) for values in crowded.label_encoder(images, boxes, labels))
    np.testing.assert_array_equal(encoded_labels, expected)
    positive = expected == 4
    np.testing.assert_array_equal(deltas[positive], expected_deltas[positive])
    crowded.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(np.asarray(restored.label_encoder(images, boxes, labels)[1]), expected)


def test_decode_by_hand() -> None:
    """IoU with the first box: 0.6 and 1/3; the fourth box has a low score, the fifth one no area."""
    boxes = np.array(
        [[0, 0, 0.4, 0.4], [0.1, 0, 0.4, 0.4], [0.2, 0, 0.4, 0.4], [0.6, 0.6, 0.2, 0.2], [0.5, 0.5, 0, 0.3]]
    )
    outputs = {
        "boxes": boxes[None],
        "confidence": np.array([[0.9, 0.8, 0.7, 0.04, 0.9]]),
        "labels": np.array([[2, 3, 1, 1, 1]]),
    }
    [decoded] = CODEC.decode(outputs)
    assert decoded.boxes_rel_xywh.tolist() == boxes[[0, 2]].tolist()
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([2, 1], [0.9, 0.7])


def test_at_most_100_detections() -> None:
    corners = np.stack(np.meshgrid(np.arange(12), np.arange(12)), axis=-1).reshape(-1, 2) / 12
    boxes = np.concatenate([corners, np.full((144, 2), 0.05)], axis=1)
    scores = np.linspace(0.9, 0.1, 144)
    [decoded] = CODEC.decode({"boxes": boxes[None], "confidence": scores[None], "labels": np.ones((1, 144))})
    assert decoded.scores.tolist() == scores[:MAX_DETECTIONS].tolist()


@pytest.mark.slow
def test_published_model_has_published_size() -> None:
    model = build(None, FIVE, 800, 91, random_weights("published"))
    # KerasHub lists 31,558,592 parameters for the backbone of retinanet_resnet50_fpn_v2_coco.
    assert model.backbone.count_params() == 31_558_592
    assert model.num_classes == 91


@pytest.mark.slow
def test_pretrained_heads_are_kept_if_they_fit() -> None:
    pretrained = random_weights("small")
    same, other = (build(None, FIVE, 64, num_labels, pretrained) for num_labels in (91, 12))
    for model in (same, other):
        assert model.backbone is pretrained.backbone
        for ours, theirs in zip(model.box_head.get_weights(), pretrained.box_head.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(
        same.classification_head.get_weights(), pretrained.classification_head.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    images = np.zeros((1, 64, 64, 3), np.uint8)
    assert other(images)["cls_logits"].shape[-1] == 12


@pytest.mark.slow
def test_new_class_head_starts_at_its_prior() -> None:
    """Without a prior it starts as KerasHub initializes it: at one half, widely spread."""
    keras.utils.set_random_seed(2)
    pretrained = random_weights("small")
    with_prior, without = (build(prior, FIVE, 64, 12, pretrained) for prior in (0.01, None))
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    low, high = np.quantile(sigmoid(with_prior(images)["cls_logits"]), [0.05, 0.95])
    assert 0.004 < low < 0.01 < high < 0.025
    low, high = np.quantile(sigmoid(without(images)["cls_logits"]), [0.05, 0.95])
    assert low < 0.3 < 0.7 < high
    kernel, biases = without.classification_head.prediction_layer.get_weights()
    assert (kernel.std(), abs(biases).max()) == (pytest.approx(0.05, rel=0.1), 0)
    kernel, biases = with_prior.classification_head.prediction_layer.get_weights()
    assert kernel.std() == pytest.approx(0.01, rel=0.1)
    assert biases == pytest.approx(np.full_like(biases, -4.59512), rel=1e-5)  # ln(0.01 / 0.99)


def sigmoid(logits: Any) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


@pytest.mark.slow
def test_prior_initializes_a_class_head_that_fits_as_well() -> None:
    pretrained = random_weights("small")
    *others, _, biases = build(0.02, FIVE, 64, 91, pretrained).classification_head.get_weights()
    assert biases == pytest.approx(np.full_like(biases, -3.89182), rel=1e-5)  # ln(0.02 / 0.98)
    for ours, theirs in zip(others, pretrained.classification_head.get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_coarse_model_starts_by_predicting_its_anchors() -> None:
    """Its anchors start at 16 px, the size of its cells. The small model starts at a hundredth of its anchors' size."""
    keras.utils.set_random_seed(2)
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    sizes = {}
    for scale in ("coarse", "small"):
        model = build(0.01, FIVE, 64, 12, random_weights(scale))
        anchors = np.concatenate([np.asarray(level) for level in model.anchor_generator(images).values()])
        deltas = np.asarray(model(images)["bbox_regression"])[0]
        sizes[scale] = np.median(np.exp(deltas[:, 2:]))
        if scale == "coarse":
            assert np.sqrt((anchors[:, 2:] - anchors[:, :2]).prod(axis=1)).min() == pytest.approx(16, rel=1e-4)
            assert len(anchors) == 9 * (16 + 4 + 1)
            # a kernel of deviation 0.01 over 2304 inputs of about 0.5: around 0; KerasHub's start at -4.6
            assert abs(np.median(deltas, axis=0)).max() < 0.5
            assert abs(deltas).mean() < 0.5
    assert sizes == {"coarse": pytest.approx(1, abs=0.3), "small": pytest.approx(0.01, rel=0.3)}


@pytest.mark.slow
def test_model_overfits_four_images_and_is_restored(tmp_path: Path) -> None:
    keras.utils.set_random_seed(8)
    boxes_xywh = np.array([[10, 20, 40, 30], [60, 50, 36, 40], [5, 60, 30, 30], [40, 8, 44, 28]])
    images = np.zeros((4, 96, 96, 3), np.uint8)
    for index, (image, (x, y, width, height)) in enumerate(zip(images, boxes_xywh, strict=True)):
        image[y : y + height, x : x + width, index % 3] = 255
    labels = np.array([1, 2, 4, 1])
    encoded = [
        CODEC.encode(ground_truth(box / 96, [label]), FIVE) for box, label in zip(boxes_xywh, labels, strict=True)
    ]
    targets = {name: np.stack([arrays[name] for arrays in encoded]) for name in ("boxes", "labels")}
    model = build(None, FIVE, 96, 5, random_weights("small"))
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        jit_compile=False,
        **FACTORY.phase_model("all", model, ModelConfig(class_prior=None)).compile_arguments,
    )

    class OneBatch(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, _: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
            return images, targets

    losses = model.fit(OneBatch(workers=2), epochs=80, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]
    outputs = model.predict_on_batch(images)
    best = [boxes.above(boxes.scores.max()) for boxes in CODEC.decode(outputs)]
    assert [int(boxes.labels[0]) for boxes in best] == labels.tolist()
    np.testing.assert_allclose([boxes.boxes_rel_xywh[0] * 96 for boxes in best], boxes_xywh, atol=6)
    model.compile()
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert isinstance(restored, RetinaNet)
    again = restored.predict_on_batch(images)
    for name, values in outputs.items():
        np.testing.assert_allclose(np.asarray(again[name]), np.asarray(values), atol=1e-5)
