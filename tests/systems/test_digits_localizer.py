from typing import Literal

import keras
import numpy as np
import pytest

from pipeline.geometry.boxes import paired_iou
from pipeline.systems.common.interfaces import ModelShape
from pipeline.systems.digits_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.digits_localizer.model import DigitsLocalizerFactory
from pipeline.systems.digits_localizer.targets import DigitsCodec
from pipeline.training.feature_cache import split_at
from tests.support.codecs import example_rows, round_trip
from tests.support.scenes import ground_truth

CODEC, FACTORY = DigitsCodec(), DigitsLocalizerFactory()
PUBLISHED = ModelConfig(filters=(32, 32, 64), box_units=(64, 32), dropout=0.3)


def build(config: ModelConfig, size: int = 100) -> keras.Model:
    return FACTORY.build_model(config, TargetsConfig(), ModelShape(size, channels=1, num_labels=10), pretrained=None)


def test_box_is_encoded_as_corners_and_decoded() -> None:
    scene = ground_truth([0.2, 0.53, 0.28, 0.25], [7])
    targets = CODEC.encode(scene, TargetsConfig())
    assert targets["label"].tolist() == [7]
    assert targets["bbox"].tolist() == pytest.approx([0.2, 0.53, 0.48, 0.78])
    decoded = round_trip(CODEC, scene, TargetsConfig(), num_labels=10)
    assert decoded.labels.tolist() == [7]
    assert decoded.scores.tolist() == [1]
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx([0.2, 0.53, 0.28, 0.25])


def test_most_probable_class_is_predicted() -> None:
    outputs = {"label": np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]), "bbox": np.array([[0, 0, 1, 1], [0, 0, 1, 1]])}
    first, second = CODEC.decode(outputs)
    assert (first.labels.tolist(), second.labels.tolist()) == ([1], [0])
    assert (first.scores.tolist(), second.scores.tolist()) == ([0.5], [0.6])
    assert CODEC.class_probabilities(outputs).tolist() == outputs["label"].tolist()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("num_boxes", "num_examples"), [(0, 0), (1, 1), (2, 0)])
def test_only_images_with_one_box_are_selected(num_boxes: int, num_examples: int, training: bool) -> None:
    boxes = ground_truth(np.ones((num_boxes, 4)))
    assert len(example_rows(CODEC, boxes, TargetsConfig(), training=training)) == num_examples


@pytest.mark.parametrize("training", [True, False])
def test_crowd_regions_are_not_selected(training: bool) -> None:
    crowd_and_box = ground_truth([[0, 0, 0.9, 0.9], [0.2, 0.5, 0.3, 0.25]], crowds=[0])
    assert example_rows(CODEC, crowd_and_box, TargetsConfig(), training=training) == [[1]]
    assert example_rows(CODEC, crowd_and_box[np.array([0])], TargetsConfig(), training=training) == []


def test_labels_are_contiguous() -> None:
    assert CODEC.label_to_category_id([3, 1, 9]).tolist() == [1, 3, 9]


@pytest.mark.slow
def test_published_model() -> None:
    model = build(PUBLISHED)
    assert model.count_params() == 35_086
    assert {name: output.shape for name, output in model.output.items()} == {"label": (None, 10), "bbox": (None, 4)}
    assert {"label", "bbox"} <= {layer.name for layer in model.layers}
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.3]


@pytest.mark.slow
@pytest.mark.parametrize(("pixel_scale", "divisor"), [("raw", 1), ("unit", 255)])
def test_published_listing_predicts_the_same(pixel_scale: Literal["raw", "unit"], divisor: int) -> None:
    """The layers of the publication, with equal weights and pixels 0..255 as they are, predict the same outputs."""
    model = build(PUBLISHED.model_copy(update={"pixel_scale": pixel_scale}))
    image = x = keras.Input((100, 100, 1))
    for filters, pooled in ((32, True), (32, True), (64, False)):
        x = keras.layers.Conv2D(filters, 3, activation="relu")(x)
        x = keras.layers.MaxPooling2D(3)(x) if pooled else x
    x = keras.layers.GlobalAveragePooling2D()(x)
    label = keras.layers.Dense(10, activation="softmax")(keras.layers.Dropout(0.3)(x))
    for units in (64, 32):
        x = keras.layers.Dense(units, activation="relu")(x)
    listing = keras.Model(image, [keras.layers.Dense(4, activation="sigmoid")(x), label])
    listing.set_weights(in_order_of(listing, model))
    pixels = np.random.default_rng(7).integers(0, 256, (5, 100, 100, 1)).astype(np.uint8)
    corners, probabilities = listing.predict_on_batch(pixels.astype(np.float32) / divisor)
    outputs = model.predict_on_batch(pixels)
    assert outputs["bbox"] == pytest.approx(corners, abs=1e-6)
    assert outputs["label"] == pytest.approx(probabilities, abs=1e-6)
    # Pixels in the wrong scale would give other probabilities: the weights are random, and so are the features.
    assert np.abs(probabilities - 0.1).max() > 1e-3


def in_order_of(listing: keras.Model, model: keras.Model) -> list[np.ndarray]:
    """The weights of `model`, in the order of `listing`; no two kernels have the same shape."""
    weights = {layer.kernel.shape: layer.get_weights() for layer in model.layers if layer.weights}
    return [array for layer in listing.layers if layer.weights for array in weights[layer.kernel.shape]]


@pytest.mark.slow
def test_deeper_box_head() -> None:
    deeper = ModelConfig(filters=(32, 32, 64), box_units=(64, 64, 32, 16), dropout=0.3)
    model = build(deeper)
    units = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert sorted(units) == [4, 10, 16, 32, 64, 64]
    # One more layer of 64 units and one of 16; the last layer then has 16 inputs instead of 32.
    assert model.count_params() == 35_086 + 65 * 64 + 33 * 16 - 16 * 4


@pytest.mark.slow
def test_phase_boxes_trains_only_the_box_head() -> None:
    model = build(ModelConfig(filters=(4, 4, 4), box_units=(8, 6), dropout=0.3), size=40)
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    phase = FACTORY.phase_model("boxes", model, PUBLISHED)
    assert phase.frozen_until is not None
    frozen, heads = split_at(phase.model, phase.frozen_until)
    heads.compile(keras.optimizers.Adam(0.01), **phase.compile_arguments)
    features = frozen.predict_on_batch(np.random.default_rng(1).integers(0, 256, (4, 40, 40, 1)).astype(np.uint8))
    corners = np.array([[0.1, 0.2, 0.4, 0.6]] * 4, np.float32)
    targets = {"label": np.array([[4], [0], [9], [2]]), "bbox": corners}
    squared_error = ((heads.predict_on_batch(features)["bbox"] - corners) ** 2).mean()
    assert heads.evaluate(features, targets, verbose=0, return_dict=True)["loss"] == pytest.approx(squared_error)
    history = heads.fit(features, targets, epochs=3, verbose=0).history
    assert {"label_accuracy", "bbox_mean_iou_xyxy"} <= set(history)
    changed = {
        name
        for name, weights in before.items()
        if not all(map(np.array_equal, weights, model.get_layer(name).get_weights()))
    }
    assert changed == {"bbox", "bbox_1", "bbox_2"}
    FACTORY.phase_model("all", model, PUBLISHED)
    assert len(model.trainable_weights) == len(model.weights) == 14


@pytest.mark.slow
def test_loss_by_hand() -> None:
    """Cross-entropy of the class plus the mean squared error of the corners, with equal weights."""
    keras.utils.set_random_seed(1)
    model = build(PUBLISHED)
    model.compile("adam", **FACTORY.phase_model("all", model, PUBLISHED).compile_arguments)
    # Dark images: bright ones saturate an untrained softmax, whose logarithm Keras clips.
    images = np.random.default_rng(1).integers(0, 4, (3, 100, 100, 1)).astype(np.float32)
    labels, corners = np.array([[4], [0], [9]]), np.array([[0.1, 0.2, 0.4, 0.6]] * 3, np.float32)
    outputs = model.predict_on_batch(images)
    cross_entropy = -np.log(outputs["label"][np.arange(3), labels[:, 0]]).mean()
    squared_error = ((outputs["bbox"] - corners) ** 2).mean()
    losses = model.evaluate(images, {"label": labels, "bbox": corners}, verbose=0, return_dict=True)
    assert losses["loss"] == pytest.approx(cross_entropy + squared_error, rel=1e-4)
    overlaps = paired_iou(outputs["bbox"], corners)
    assert losses["bbox_mean_iou_xyxy"] == pytest.approx(overlaps.mean(), abs=1e-6)
    correct = outputs["label"].argmax(axis=1) == labels[:, 0]
    assert losses["label_accuracy"] == pytest.approx(correct.mean())


@pytest.mark.slow
def test_model_overfits_four_images() -> None:
    keras.utils.set_random_seed(5)
    images = np.zeros((4, 100, 100, 1), np.float32)
    for index in range(4):
        images[index, 20 * index : 20 * index + 28, 10 + 15 * index : 38 + 15 * index] = 60 * index + 60
    labels = np.arange(4)[:, None]
    corners = np.array([[0.1 + 0.15 * i, 0.2 * i, 0.38 + 0.15 * i, 0.2 * i + 0.28] for i in range(4)], np.float32)
    model = build(ModelConfig(filters=(32, 32, 64), box_units=(64, 32), dropout=0.0))
    model.compile(keras.optimizers.Adam(3e-3), **FACTORY.phase_model("all", model, PUBLISHED).compile_arguments)
    losses = model.fit(images, {"label": labels, "bbox": corners}, batch_size=4, epochs=150, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]
