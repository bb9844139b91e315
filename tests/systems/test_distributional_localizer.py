import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.systems.common.interfaces import ModelShape
from pipeline.systems.distributional_localizer.config import CropClassifierConfig, ModelConfig, TargetsConfig
from pipeline.systems.distributional_localizer.model import (
    BoxCrop,
    DistributionalLocalizerFactory,
    edge_loss,
    expected_edges,
    mean_iou,
)
from pipeline.systems.distributional_localizer.targets import EdgeCodec
from tests.support.codecs import example_rows, round_trip
from tests.support.precision import dtype_policy, losses_in_float16
from tests.support.scenes import ground_truth

CODEC, FACTORY = EdgeCodec(), DistributionalLocalizerFactory()

SMALL = ModelConfig(
    filters=(6, 8), profile_filters=8, crop_classifier=CropClassifierConfig(crop_size=8, filters=(6, 8), dropout=0.0)
)
ONE_CLASS = ModelConfig(filters=(6, 8), profile_filters=8, crop_classifier=None)

# The second box overlaps both others; the first and the third are disjoint.
THREE_BOXES = np.array([[0.1, 0.1, 0.3, 0.2], [0.2, 0.1, 0.3, 0.2], [0.4, 0.1, 0.3, 0.2]])


def small_model(size: int = 16, channels: int = 3, num_labels: int = 3) -> keras.Model:
    config = SMALL if num_labels > 1 else ONE_CLASS
    return FACTORY.build_model(config, TargetsConfig(), ModelShape(size, channels, num_labels), None)


def predict(model: keras.Model, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    return {name: keras.ops.convert_to_numpy(values) for name, values in model(images).items()}


def noise_images() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)


# Targets


def test_edges_are_left_right_top_bottom() -> None:
    targets = CODEC.encode(ground_truth([0.1, 0.25, 0.5, 0.625], [7]), TargetsConfig())
    assert targets["edges"].tolist() == pytest.approx([0.1, 0.6, 0.25, 0.875])
    assert (targets["label"].tolist(), targets["label"].dtype, targets["edges"].dtype) == ([7], np.int32, np.float32)


@given(st.tuples(*[st.floats(0, 0.5)] * 2, *[st.floats(0, 0.5)] * 2), st.integers(0, 5))
def test_round_trip(box_rel_xywh: tuple[float, ...], label: int) -> None:
    decoded = round_trip(CODEC, ground_truth([box_rel_xywh], [label]), TargetsConfig(), num_labels=6)
    np.testing.assert_allclose(decoded.boxes_rel_xywh, [box_rel_xywh], atol=1e-6)
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([label], [1])


def test_decoded_edge_is_the_mean_of_its_distribution() -> None:
    """Positions 0, 1/2 and 1. In the second image the left edge is right of the right edge."""
    first = [[1, 0, 0], [0, 0.5, 0.5], [0.5, 0.5, 0], [0, 0, 1]]
    second = [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0]]
    decoded = CODEC.decode({"edges": np.float32([first, second]), "label": np.float32([[0.25, 0.75], [0.9, 0.1]])})
    assert [boxes.boxes_rel_xywh.tolist() for boxes in decoded] == [[[0, 0.25, 0.75, 0.75]], [[1, 0.5, -1, 0]]]
    assert [boxes.labels.tolist() for boxes in decoded] == [[1], [0]]
    assert [boxes.scores[0] for boxes in decoded] == pytest.approx([0.75, 0.9])


def test_model_of_one_class_predicts_it_with_score_1() -> None:
    outputs = {"edges": np.float32([[[1, 0], [0.25, 0.75], [1, 0], [0.5, 0.5]]])}
    assert CODEC.class_probabilities(outputs).tolist() == [[1]]
    [decoded] = CODEC.decode(outputs)
    assert decoded.boxes_rel_xywh.tolist() == [[0, 0, 0.75, 0.5]]
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([0], [1])


@pytest.mark.parametrize("training", [True, False])
def test_medoid_box_is_selected(training: bool) -> None:
    def rows(crowds: list[int], boxes: Any = THREE_BOXES) -> list[list[int]]:
        return example_rows(CODEC, ground_truth(boxes, crowds=crowds), TargetsConfig(), training=training)

    assert rows(crowds=[]) == [[1]]
    assert rows(crowds=[1]) == [[0]]  # the other two do not overlap; of equal boxes the first is selected
    assert rows(crowds=[0]) == [[1]]
    assert rows(crowds=[0, 1, 2]) == rows(crowds=[], boxes=[]) == []
    assert CODEC.object_mask(ground_truth(THREE_BOXES, crowds=[1]), TargetsConfig()).tolist() == [True, False, True]


def test_labels_are_contiguous() -> None:
    assert CODEC.label_to_category_id([3, 1, 9]).tolist() == [1, 3, 9]


# Loss and metric


def test_edge_loss_by_hand() -> None:
    """Five positions. The edges: the second position, a fifth of the way to the third, the last, the first."""
    probabilities = [[0.1, 0.5, 0.2, 0.1, 0.1], [0.1, 0.5, 0.2, 0.1, 0.1], [0.25, 0.25, 0.25, 0, 0.25], [1, 0, 0, 0, 0]]
    edges = [0.25, 0.3, 1, 0]
    by_hand = [-math.log(0.5), -0.8 * math.log(0.5) - 0.2 * math.log(0.2), -math.log(0.25), 0]
    uniform = np.full((4, 5), 0.2)
    losses = np.asarray(edge_loss(np.float32([edges, edges]), np.float32([probabilities, uniform])))
    np.testing.assert_allclose(losses, [sum(by_hand) / 4, math.log(5)], rtol=1e-5)


def test_expected_edges_by_hand() -> None:
    probabilities = np.float32([[[0.1, 0.5, 0.2, 0.1, 0.1], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0.5, 0, 0, 0, 0.5]]])
    np.testing.assert_allclose(np.asarray(expected_edges(probabilities)), [[0.4, 1, 0, 0.5]], atol=1e-6)


@given(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), st.integers(2, 40), st.integers(0, 99))
@settings(max_examples=30)
def test_edge_loss_is_minimal_for_the_interpolated_distribution(edges: list[float], positions: int, seed: int) -> None:
    last = positions - 1
    lower = np.minimum(np.float64(edges) * last // 1, last - 1).astype(int)
    best = np.zeros((4, positions))
    best[np.arange(4), lower + 1] = np.float64(edges) * last - lower
    best[np.arange(4), lower] = 1 - best[np.arange(4), lower + 1]
    other = np.random.default_rng(seed).dirichlet(np.ones(positions), 4)
    np.testing.assert_allclose(np.asarray(expected_edges(np.float32(best))), edges, atol=1e-5)
    smallest, other_loss = np.asarray(edge_loss(np.float32([edges] * 2), np.float32([best, (best + other) / 2])))
    assert smallest <= other_loss + 1e-5


def test_mean_iou_by_hand() -> None:
    """True: left 0.25, right 0.75, top 0, bottom 0.5. Predicted: its right half, then that mirrored at y = x."""
    right_half = np.eye(5)[[2, 3, 0, 2]]
    mirrored = np.eye(5)[[0, 2, 2, 3]]
    edges = np.float32([[0.25, 0.75, 0, 0.5]] * 2)
    ious = np.asarray(mean_iou(edges, np.float32([right_half, mirrored])))
    np.testing.assert_allclose(ious, [0.5, 0], atol=1e-6)


# The crop


def crop(
    pixels: NDArray[Any], left_right_top_bottom: tuple[float, float, float, float], size_pixels: int
) -> NDArray[Any]:
    """Crop one image [height, width, C]; the box is in pixels."""
    height, width = pixels.shape[:2]
    edges = np.array(left_right_top_bottom) / [width, width, height, height]
    probabilities = np.stack([1 - edges, edges], axis=-1)
    return np.asarray(BoxCrop(size_pixels)(np.float32(pixels)[None], np.float32(probabilities)[None]))[0]


def noise(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).uniform(0, 1, (height, width, 2)).astype(np.float32)


def test_crop_of_the_same_size_copies_the_pixels() -> None:
    pixels = noise(12, 16)
    np.testing.assert_allclose(crop(pixels, (3, 8, 6, 11), 5), pixels[6:11, 3:8], atol=1e-5)


def test_each_axis_is_resized_on_its_own() -> None:
    """Twice as wide as the crop: pairs of pixels are averaged. Half as high: rows are interpolated."""
    pixels = noise(12, 16)
    cropped = crop(pixels, (2, 14, 4, 7), 6)
    rows = np.stack(
        [
            pixels[row] * near + pixels[row + step] * (1 - near)
            for row, step, near in [
                (4, -1, 0.75),
                (4, 1, 0.75),
                (5, -1, 0.75),
                (5, 1, 0.75),
                (6, -1, 0.75),
                (6, 1, 0.75),
            ]
        ]
    )
    np.testing.assert_allclose(cropped, rows[:, 2:14].reshape(6, 6, 2, 2).mean(axis=2), atol=1e-5)


SPAN = st.tuples(st.floats(0, 32), st.floats(0, 32))


@given(SPAN, SPAN, st.integers(1, 12))
@settings(max_examples=40)
def test_crop_averages_over_areas_of_at_least_one_pixel(
    left_right: tuple[float, float], top_bottom: tuple[float, float], size: int
) -> None:
    """Compared with cumulative sums. Constant images stay constant at every scale, also with an inverted box.

    No area extends beyond the image: at its edge an enlarged crop repeats the outermost pixels.
    """
    pixels = noise(32, 32)

    def means(values: NDArray[Any], low: float, high: float) -> NDArray[Any]:
        step = max(high - low, 1) / size
        centers = low + step * (np.arange(size) + 0.5)
        reach = max(step, 1)
        centers = np.clip(centers, 0.5, len(values) - 0.5)
        sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0, dtype=np.float64)])
        flat = sums.reshape(len(sums), -1).T
        ends, starts = (
            np.stack([np.interp(centers + side * reach / 2, np.arange(len(sums)), column) for column in flat], axis=1)
            for side in (1, -1)
        )
        return ((ends - starts) / reach).reshape(size, *values.shape[1:])

    expected = means(means(pixels, *top_bottom).swapaxes(0, 1), *left_right).swapaxes(0, 1)
    box = (*left_right, *top_bottom)
    np.testing.assert_allclose(crop(pixels, box, size), expected, atol=1e-4)
    np.testing.assert_allclose(crop(np.full((32, 32, 1), 0.7), box, size), 0.7, atol=1e-4)


def to_numpy(weight: keras.Variable) -> NDArray[np.float32]:
    return np.array(keras.ops.convert_to_numpy(weight))


@pytest.mark.slow
def test_class_loss_does_not_train_the_edges() -> None:
    keras.utils.set_random_seed(3)
    model = small_model()
    arguments = FACTORY.phase_model("all", model, SMALL).compile_arguments
    model.compile(keras.optimizers.SGD(0.5), loss=arguments["loss"], loss_weights={"edges": 0.0, "label": 1.0})
    edge_weights = keras.Model(model.input, model.output["edges"]).trainable_weights
    class_weights = [weight for weight in model.trainable_weights if not any(weight is other for other in edge_weights)]
    assert len(edge_weights) > 8
    before = [[to_numpy(weight) for weight in weights] for weights in (edge_weights, class_weights)]
    images = np.random.default_rng(1).integers(0, 256, (6, 16, 16, 3)).astype(np.float32)
    targets = {"edges": np.float32([[0.25, 0.75, 0, 0.5]] * 6), "label": np.arange(6)[:, None] % 3}
    model.fit(images, targets, verbose=0)
    for was, now in zip(before[0], edge_weights, strict=True):
        np.testing.assert_array_equal(was, to_numpy(now))
    assert all((was != to_numpy(now)).any() for was, now in zip(before[1], class_weights, strict=True))


# The model


def test_outputs_are_probabilities() -> None:
    """16 px halved twice are four cells: five positions between and around them."""
    model = small_model()
    assert {name: output.shape for name, output in model.output.items()} == {"edges": (None, 4, 5), "label": (None, 3)}
    for values in predict(model, noise_images()).values():
        assert values.min() > 0
        np.testing.assert_allclose(values.sum(axis=-1), 1, rtol=1e-5)


def test_model_of_one_class_has_no_class_output() -> None:
    model = small_model(channels=1, num_labels=1)
    assert (
        list(FACTORY.phase_model("all", model, ONE_CLASS).compile_arguments["loss"]) == list(model.output) == ["edges"]
    )
    decoded = CODEC.decode(predict(model, np.zeros((2, 16, 16, 1), np.uint8)))
    assert [(boxes.labels.tolist(), boxes.scores.tolist()) for boxes in decoded] == [([0], [1]), ([0], [1])]


def test_edge_logits_are_computed_in_float32_under_mixed_precision() -> None:
    """16 bits are too coarse to locate an edge between two cells."""
    with dtype_policy("mixed_bfloat16"):
        model = small_model()
    logits = keras.Model(model.input, model.get_layer("edges").input)(noise_images())
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    rounded = keras.ops.cast(keras.ops.cast(logits, "bfloat16"), "float32")
    assert np.mean(keras.ops.convert_to_numpy(logits == rounded)) < 0.1


def test_image_size_must_be_multiple_of_cell() -> None:
    with pytest.raises(ValueError, match=r"^2 halvings need a side that is a multiple of 4 px$"):
        small_model(size=18)


def test_crop_classifier_is_required_for_several_classes_only() -> None:
    one = "there is one class, which needs no crop classifier: set model.crop_classifier to null"
    with pytest.raises(ValueError, match=f"^{one}$"):
        FACTORY.build_model(SMALL, TargetsConfig(), ModelShape(16, 3, 1), None)
    several = "3 classes need a crop classifier: model.crop_classifier must not be null"
    with pytest.raises(ValueError, match=f"^{several}$"):
        FACTORY.build_model(ONE_CLASS, TargetsConfig(), ModelShape(16, 3, 3), None)


@pytest.mark.parametrize(
    ("num_labels", "metrics"),
    [
        pytest.param(3, {"edges_loss", "edges_mean_iou", "label_loss", "label_accuracy"}, id="two outputs"),
        pytest.param(1, {"mean_iou"}, id="one output"),
    ],
)
def test_metric_names_in_the_curves(num_labels: int, metrics: set[str]) -> None:
    """Keras prefixes the names of metrics with the output only if there are several outputs."""
    model = small_model(num_labels=num_labels)
    model.compile(**FACTORY.phase_model("all", model, SMALL).compile_arguments)
    targets = {"edges": np.float32([[0.25, 0.75, 0, 0.5]] * 2), "label": np.int32([0, 1])}
    targets = {name: targets[name] for name in model.output_names}
    history = model.fit(noise_images(), targets, validation_data=(noise_images(), targets), verbose=0).history
    names = {"loss", *metrics}
    assert set(history) == names | {f"val_{name}" for name in names}


def test_saved_model_predicts_the_same(tmp_path: Path) -> None:
    model = small_model()
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    outputs = predict(restored, noise_images())
    for name, values in predict(model, noise_images()).items():
        np.testing.assert_allclose(outputs[name], values, atol=1e-6)


@pytest.mark.slow
def test_training_in_float16_lowers_the_loss() -> None:
    targets = {"edges": np.float32([[0.25, 0.75, 0, 0.5], [0, 0.5, 0.25, 1]]), "label": np.int32([0, 2])}
    losses = losses_in_float16(
        small_model, lambda model: FACTORY.phase_model("all", model, SMALL), noise_images(), targets
    )
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_model_overfits_six_images() -> None:
    """Only a crop at the right place shows the class: two of the patterns have equally many bright pixels."""
    keras.utils.set_random_seed(6)
    boxes_xywh = np.array(
        [[2, 4, 16, 8], [16, 3, 10, 20], [5, 15, 22, 12], [18, 20, 8, 8], [1, 1, 9, 28], [12, 8, 12, 9]]
    )
    labels = np.array([0, 1, 2, 1, 0, 2])
    images = np.zeros((6, 32, 32, 3), np.float32)
    for image, (x, y, width, height), label in zip(images, boxes_xywh, labels, strict=True):
        image[y : y + height, x : x + width] = 120
        half = [np.s_[y : y + height // 2, x : x + width], np.s_[y : y + height, x : x + width // 2]]
        if label < 2:
            image[half[label]] = 255
    encoded = [
        CODEC.encode(ground_truth(box / 32, [label]), TargetsConfig())
        for box, label in zip(boxes_xywh, labels, strict=True)
    ]
    targets = {name: np.stack([arrays[name] for arrays in encoded]) for name in ("edges", "label")}
    model = small_model(size=32)
    model.compile(keras.optimizers.Adam(0.01), **FACTORY.phase_model("all", model, SMALL).compile_arguments)
    steps = {name: np.tile(values, (40, 1)) for name, values in targets.items()}
    model.fit(np.tile(images, (40, 1, 1, 1)), steps, batch_size=6, epochs=2, shuffle=False, verbose=0)
    decoded = CODEC.decode(model.predict_on_batch(images))
    predicted_xywh = np.concatenate([boxes.boxes_rel_xywh for boxes in decoded]) * 32
    assert paired_iou(xywh_to_xyxy(predicted_xywh), xywh_to_xyxy(boxes_xywh)).min() > 0.8
    assert [int(boxes.labels[0]) for boxes in decoded] == labels.tolist()
