from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.systems.coco_retinanet.config import ModelConfig, TargetsConfig
from pipeline.systems.coco_retinanet.model import RetinaNet, build_model, part
from pipeline.systems.coco_retinanet.pretrained import sample
from pipeline.systems.coco_retinanet.targets import (
    MAX_DETECTIONS,
    as_outputs,
    decode,
    encode,
    examples,
    label_to_category_id,
)
from tests.support.scenes import truth

FIVE = TargetsConfig(max_boxes=5, crowd="encode")
BOXES_REL_XYWH = np.array([[0.1, 0.2, 0.3, 0.5], [0.6, 0.1, 0.25, 0.125]])


def test_labels_are_category_ids_with_their_gaps() -> None:
    assert label_to_category_id([4, 1]).tolist() == [0, 1, 0, 0, 4]
    assert len(label_to_category_id([1, 90])) == 91


def test_short_lists_are_padded_and_padding_is_dropped() -> None:
    targets = encode(truth(BOXES_REL_XYWH, [4, 1]), FIVE)
    assert targets["labels"].tolist() == [4, 1, -1, -1, -1]
    assert targets["boxes"][2:].tolist() == [[-1] * 4] * 3
    decoded = decode(as_outputs({name: array[None] for name, array in targets.items()}, 5))
    assert decoded.boxes_rel_xywh.tolist() == pytest.approx(BOXES_REL_XYWH, abs=1e-6)
    assert (decoded.rows.tolist(), decoded.labels.tolist(), decoded.scores.tolist()) == ([0, 0], [4, 1], [1, 1])


def test_an_image_without_boxes_answers_nothing() -> None:
    targets = encode(truth([]), FIVE)
    decoded = decode(as_outputs({name: array[None] for name, array in targets.items()}, 5))
    assert (decoded.boxes_rel_xywh.shape, len(decoded.labels)) == ((0, 4), 0)


def test_the_largest_boxes_are_kept() -> None:
    boxes = np.array([[0, 0, 0.1, 0.1], [0, 0, 0.5, 0.4], [0, 0, 0.2, 0.2]])
    assert [
        example.tolist()
        for example in examples(truth(boxes), TargetsConfig(max_boxes=2, crowd="encode"), training=True)
    ] == [[1, 2]]
    assert examples(truth([]), FIVE, training=True) == []
    assert [len(example) for example in examples(truth([]), FIVE, training=False)] == [0]


CROWD_AND_TWO = truth([[0, 0, 0.9, 0.8], [0.1, 0.2, 0.3, 0.5], [0.6, 0.1, 0.25, 0.125]], [3, 4, 1], crowds=[0])
IGNORING = TargetsConfig(max_boxes=2, crowd="ignore")


def test_an_ignored_crowd_region_is_marked_and_gives_way_to_objects() -> None:
    wide = TargetsConfig(max_boxes=3, crowd="ignore")
    assert encode(CROWD_AND_TWO, wide)["labels"].tolist() == [-2, 4, 1]
    assert encode(CROWD_AND_TWO, FIVE)["labels"].tolist() == [3, 4, 1, -1, -1]
    [rows] = examples(CROWD_AND_TWO, IGNORING, training=True)
    assert rows.tolist() == [1, 2]
    assert [
        rows.tolist() for rows in examples(CROWD_AND_TWO, TargetsConfig(max_boxes=2, crowd="encode"), training=True)
    ] == [[0, 1]]
    assert examples(CROWD_AND_TWO[np.array([0])], IGNORING, training=True) == []
    decoded = decode(as_outputs({name: array[None] for name, array in encode(CROWD_AND_TWO, wide).items()}, 5))
    assert decoded.labels.tolist() == [4, 1]


@pytest.mark.slow
def test_anchors_in_a_crowd_region_have_no_loss_unless_they_match_an_object(tmp_path: Path) -> None:
    crowded = build_model(ModelConfig(class_prior=None), IGNORING, 64, 3, 5, sample("small"))
    plain = build_model(ModelConfig(class_prior=None), FIVE, 64, 3, 5, sample("small"))
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
    deltas, found = (np.asarray(values) for values in crowded.label_encoder(images, boxes, labels))
    np.testing.assert_array_equal(found, expected)
    positive = expected == 4
    np.testing.assert_array_equal(deltas[positive], expected_deltas[positive])
    crowded.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_array_equal(np.asarray(restored.label_encoder(images, boxes, labels)[1]), expected)


def test_suppression_by_hand() -> None:
    """The second overlaps the first by 0.6, the third by 1/3; the fourth is unsure, the fifth has no size."""
    boxes = np.array(
        [[0, 0, 0.4, 0.4], [0.1, 0, 0.4, 0.4], [0.2, 0, 0.4, 0.4], [0.6, 0.6, 0.2, 0.2], [0.5, 0.5, 0, 0.3]]
    )
    outputs = {
        "boxes": boxes[None],
        "confidence": np.array([[0.9, 0.8, 0.7, 0.04, 0.9]]),
        "labels": np.array([[2, 3, 1, 1, 1]]),
    }
    decoded = decode(outputs)
    assert decoded.boxes_rel_xywh.tolist() == boxes[[0, 2]].tolist()
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([2, 1], [0.9, 0.7])


def test_at_most_a_hundred_of_an_image() -> None:
    corners = np.stack(np.meshgrid(np.arange(12), np.arange(12)), axis=-1).reshape(-1, 2) / 12
    boxes = np.concatenate([corners, np.full((144, 2), 0.05)], axis=1)
    scores = np.linspace(0.9, 0.1, 144)
    decoded = decode({"boxes": boxes[None], "confidence": scores[None], "labels": np.ones((1, 144))})
    assert decoded.scores.tolist() == scores[:MAX_DETECTIONS].tolist()


@pytest.mark.slow
def test_the_published_size() -> None:
    model = build_model(ModelConfig(class_prior=None), FIVE, 800, 3, 91, sample("published"))
    # KerasHub lists 31,558,592 parameters for the backbone of retinanet_resnet50_fpn_v2_coco.
    assert model.backbone.count_params() == 31_558_592
    assert model.num_classes == 91


@pytest.mark.slow
def test_heads_come_along_where_they_fit() -> None:
    pretrained = sample("small")
    same, other = (build_model(ModelConfig(class_prior=None), FIVE, 64, 3, labels, pretrained) for labels in (91, 12))
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
def test_a_new_class_head_starts_at_its_prior() -> None:
    """As KerasHub starts it without one: at one half, widely spread. Box heads come from the preset in either case."""
    keras.utils.set_random_seed(2)
    pretrained = sample("small")
    with_prior, without = (
        build_model(ModelConfig(class_prior=prior), FIVE, 64, 3, 12, pretrained) for prior in (0.01, None)
    )
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
def test_a_prior_also_starts_a_head_with_as_many_labels_anew() -> None:
    pretrained = sample("small")
    *others, _, biases = build_model(
        ModelConfig(class_prior=0.02), FIVE, 64, 3, 91, pretrained
    ).classification_head.get_weights()
    assert biases == pytest.approx(np.full_like(biases, -3.89182), rel=1e-5)  # ln(0.02 / 0.98)
    for ours, theirs in zip(others, pretrained.classification_head.get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_the_coarse_preset_answers_its_anchors() -> None:
    """From 16 px on, where cells are 16 px; the small preset begins with a hundredth of its anchors' size."""
    keras.utils.set_random_seed(2)
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    sizes = {}
    for size in ("coarse", "small"):
        model = build_model(ModelConfig(class_prior=0.01), FIVE, 64, 3, 12, sample(size))
        anchors = np.concatenate([np.asarray(level) for level in model.anchor_generator(images).values()])
        deltas = np.asarray(model(images)["bbox_regression"])[0]
        sizes[size] = np.median(np.exp(deltas[:, 2:]))
        if size == "coarse":
            assert np.sqrt((anchors[:, 2:] - anchors[:, :2]).prod(axis=1)).min() == pytest.approx(16, rel=1e-4)
            assert len(anchors) == 9 * (16 + 4 + 1)
            # a kernel of deviation 0.01 over 2304 inputs of about 0.5: around 0, where KerasHub's begin at -4.6
            assert abs(np.median(deltas, axis=0)).max() < 0.5
            assert abs(deltas).mean() < 0.5
    assert sizes == {"coarse": pytest.approx(1, abs=0.3), "small": pytest.approx(0.01, rel=0.3)}


@pytest.mark.slow
def test_a_few_steps_on_four_images_overfit_them(tmp_path: Path) -> None:
    """Boxes, classes and confidence come back after training, and alike from the saved model."""
    keras.utils.set_random_seed(8)
    boxes_xywh = np.array([[10, 20, 40, 30], [60, 50, 36, 40], [5, 60, 30, 30], [40, 8, 44, 28]])
    images = np.zeros((4, 96, 96, 3), np.uint8)
    for index, (image, (x, y, width, height)) in enumerate(zip(images, boxes_xywh, strict=True)):
        image[y : y + height, x : x + width, index % 3] = 255
    labels = np.array([1, 2, 4, 1])
    encoded = [encode(truth(box / 96, [label]), FIVE) for box, label in zip(boxes_xywh, labels, strict=True)]
    targets = {name: np.stack([arrays[name] for arrays in encoded]) for name in ("boxes", "labels")}
    model = build_model(ModelConfig(class_prior=None), FIVE, 96, 3, 5, sample("small"))
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        jit_compile=False,
        **part("all", model, ModelConfig(class_prior=None)).compile_arguments,
    )

    class Whole(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, _: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
            return images, targets

    losses = model.fit(Whole(workers=2), epochs=80, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]
    outputs = model.predict_on_batch(images)
    best = [labeled_boxes.above(labeled_boxes.scores.max()) for labeled_boxes in decode(outputs).by_image(4)]
    assert [int(labeled_boxes.labels[0]) for labeled_boxes in best] == labels.tolist()
    np.testing.assert_allclose([labeled_boxes.boxes_rel_xywh[0] * 96 for labeled_boxes in best], boxes_xywh, atol=6)
    model.compile()
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert isinstance(restored, RetinaNet)
    again = restored.predict_on_batch(images)
    for name, values in outputs.items():
        np.testing.assert_allclose(np.asarray(again[name]), np.asarray(values), atol=1e-5)
