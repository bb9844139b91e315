import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ruamel.yaml import YAML

from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.systems.distributional_localizer.config import CropClassifierConfig, ModelConfig, TargetsConfig
from pipeline.systems.distributional_localizer.model import (
    BoxCrop,
    build_model,
    edge_loss,
    expected_edges,
    mean_iou,
    part,
)
from pipeline.systems.distributional_localizer.targets import (
    as_outputs,
    class_probabilities,
    decode,
    encode,
    examples,
    label_to_category_id,
    objects,
)
from tests.support.precision import computed_in, losses_in_16_bits
from tests.support.scenes import truth

SMALL = ModelConfig(filters=(6, 8), profile_filters=8, look=CropClassifierConfig(pixels=8, filters=(6, 8), dropout=0.0))
ONE_CLASS = ModelConfig(filters=(6, 8), profile_filters=8, look=None)

PROJECT = Path(__file__).parents[2]

# The second box overlaps both others; the third lies apart from the first.
THREE_BOXES = np.array([[0.1, 0.1, 0.3, 0.2], [0.2, 0.1, 0.3, 0.2], [0.4, 0.1, 0.3, 0.2]])


def small_model(size: int = 16, channels: int = 3, labels: int = 3) -> keras.Model:
    return build_model(SMALL if labels > 1 else ONE_CLASS, TargetsConfig(), size, channels, labels, None)


def answers_of(model: keras.Model, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    return {name: keras.ops.convert_to_numpy(answers) for name, answers in model(images).items()}


def noise_images() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)


# Targets


def test_edges_stand_in_the_order_left_right_top_bottom() -> None:
    targets = encode(truth([0.1, 0.25, 0.5, 0.625], [7]), TargetsConfig())
    assert targets["edges"].tolist() == pytest.approx([0.1, 0.6, 0.25, 0.875])
    assert (targets["label"].tolist(), targets["label"].dtype, targets["edges"].dtype) == ([7], np.int32, np.float32)


@given(st.tuples(*[st.floats(0, 0.5)] * 2, *[st.floats(0, 0.5)] * 2), st.integers(0, 5))
def test_a_box_comes_back(box_rel_xywh: tuple[float, ...], label: int) -> None:
    targets = encode(truth([box_rel_xywh], [label]), TargetsConfig())
    decoded = decode(as_outputs({name: array[None] for name, array in targets.items()}, num_labels=6))
    np.testing.assert_allclose(decoded.boxes_rel_xywh, [box_rel_xywh], atol=1e-6)
    assert (decoded.rows.tolist(), decoded.labels.tolist(), decoded.scores.tolist()) == ([0], [label], [1])


def test_an_edge_is_the_mean_of_its_positions() -> None:
    """Positions 0, 1/2 and 1; the second image of the batch has its left edge right of its right one."""
    first = [[1, 0, 0], [0, 0.5, 0.5], [0.5, 0.5, 0], [0, 0, 1]]
    second = [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0]]
    decoded = decode({"edges": np.float32([first, second]), "label": np.float32([[0.25, 0.75], [0.9, 0.1]])})
    assert decoded.boxes_rel_xywh.tolist() == [[0, 0.25, 0.75, 0.75], [1, 0.5, -1, 0]]
    assert (decoded.rows.tolist(), decoded.labels.tolist()) == ([0, 1], [1, 0])
    assert decoded.scores.tolist() == pytest.approx([0.75, 0.9])


def test_a_model_of_one_class_is_sure_of_it() -> None:
    outputs = {"edges": np.float32([[[1, 0], [0.25, 0.75], [1, 0], [0.5, 0.5]]])}
    assert class_probabilities(outputs).tolist() == [[1]]
    decoded = decode(outputs)
    assert decoded.boxes_rel_xywh.tolist() == [[0, 0, 0.75, 0.5]]
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([0], [1])


@pytest.mark.parametrize("training", [True, False])
def test_of_several_boxes_the_most_typical_one_is_the_answer(training: bool) -> None:
    def rows(crowds: list[int], boxes: Any = THREE_BOXES) -> list[list[int]]:
        return [chosen.tolist() for chosen in examples(truth(boxes, crowds=crowds), TargetsConfig(), training=training)]

    assert rows(crowds=[]) == [[1]]
    assert rows(crowds=[1]) == [[0]]  # the others overlap nothing, and of equals it is the first
    assert rows(crowds=[0]) == [[1]]
    assert rows(crowds=[0, 1, 2]) == rows(crowds=[], boxes=[]) == []
    assert objects(truth(THREE_BOXES, crowds=[1]), TargetsConfig()).tolist() == [True, False, True]


def test_labels_count_the_categories_without_gaps() -> None:
    assert label_to_category_id([3, 1, 9]).tolist() == [1, 3, 9]


# Loss and metric


def test_the_loss_by_hand() -> None:
    """Of five positions: at the second, a fifth of the way from there to the third, at the last, at the first."""
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
def test_the_loss_is_least_where_the_mean_is_the_edge(edges: list[float], positions: int, seed: int) -> None:
    last = positions - 1
    lower = np.minimum(np.float64(edges) * last // 1, last - 1).astype(int)
    best = np.zeros((4, positions))
    best[np.arange(4), lower + 1] = np.float64(edges) * last - lower
    best[np.arange(4), lower] = 1 - best[np.arange(4), lower + 1]
    other = np.random.default_rng(seed).dirichlet(np.ones(positions), 4)
    np.testing.assert_allclose(np.asarray(expected_edges(np.float32(best))), edges, atol=1e-5)
    least, others = np.asarray(edge_loss(np.float32([edges] * 2), np.float32([best, (best + other) / 2])))
    assert least <= others + 1e-5


def test_the_overlap_of_answers_by_hand() -> None:
    """True: left 0.25, right 0.75, top 0, bottom 0.5; answered: its right half, then the same mirrored at y = x."""
    right_half = np.eye(5)[[2, 3, 0, 2]]
    mirrored = np.eye(5)[[0, 2, 2, 3]]
    edges = np.float32([[0.25, 0.75, 0, 0.5]] * 2)
    ious = np.asarray(mean_iou(edges, np.float32([right_half, mirrored])))
    np.testing.assert_allclose(ious, [0.5, 0], atol=1e-6)


# The second look


def look_at(
    pixels: NDArray[Any], left_right_top_bottom: tuple[float, float, float, float], size_pixels: int
) -> NDArray[Any]:
    """What a second look sees of one image [height, width, C], its box in pixels."""
    height, width = pixels.shape[:2]
    edges = np.array(left_right_top_bottom) / [width, width, height, height]
    probabilities = np.stack([1 - edges, edges], axis=-1)
    return np.asarray(BoxCrop(size_pixels)(np.float32(pixels)[None], np.float32(probabilities)[None]))[0]


def noise(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).uniform(0, 1, (height, width, 2)).astype(np.float32)


def test_a_box_of_its_own_size_is_seen_as_it_is() -> None:
    """Upright, not mirrored, no pixel off."""
    pixels = noise(12, 16)
    np.testing.assert_allclose(look_at(pixels, (3, 8, 6, 11), 5), pixels[6:11, 3:8], atol=1e-5)


def test_each_axis_is_scaled_on_its_own() -> None:
    """Twice as wide as the look: pairs of pixels become their mean; half as high: pixels lie between two rows."""
    pixels = noise(12, 16)
    seen = look_at(pixels, (2, 14, 4, 7), 6)
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
    np.testing.assert_allclose(seen, rows[:, 2:14].reshape(6, 6, 2, 2).mean(axis=2), atol=1e-5)


SPAN = st.tuples(st.floats(0, 32), st.floats(0, 32))


@given(SPAN, SPAN, st.integers(1, 12))
@settings(max_examples=40)
def test_a_look_is_the_mean_over_areas_of_at_least_a_pixel(
    left_right: tuple[float, float], top_bottom: tuple[float, float], size: int
) -> None:
    """By sums from the image's corner on. So constant images stay constant at every zoom, an inverted box included.

    No area leaves the image: at its edge an enlarged look has the outermost pixels.
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
    np.testing.assert_allclose(look_at(pixels, box, size), expected, atol=1e-4)
    np.testing.assert_allclose(look_at(np.full((32, 32, 1), 0.7), box, size), 0.7, atol=1e-4)


def values(weight: keras.Variable) -> NDArray[np.float32]:
    return np.array(keras.ops.convert_to_numpy(weight))


@pytest.mark.slow
def test_the_class_teaches_nothing_about_where_to_look() -> None:
    keras.utils.set_random_seed(3)
    model = small_model()
    arguments = part("all", model, SMALL).compile_arguments
    model.compile(keras.optimizers.SGD(0.5), loss=arguments["loss"], loss_weights={"edges": 0.0, "label": 1.0})
    finders = keras.Model(model.input, model.output["edges"]).trainable_weights
    classifiers = [weight for weight in model.trainable_weights if not any(weight is other for other in finders)]
    assert len(finders) > 8
    before = [[values(weight) for weight in weights] for weights in (finders, classifiers)]
    images = np.random.default_rng(1).integers(0, 256, (6, 16, 16, 3)).astype(np.float32)
    targets = {"edges": np.float32([[0.25, 0.75, 0, 0.5]] * 6), "label": np.arange(6)[:, None] % 3}
    model.fit(images, targets, verbose=0)
    for was, now in zip(before[0], finders, strict=True):
        np.testing.assert_array_equal(was, values(now))
    assert all((was != values(now)).any() for was, now in zip(before[1], classifiers, strict=True))


# The model


def test_the_outputs_of_a_small_model() -> None:
    """16 px halved twice are four cells, and edges lie between any two of them or on the image's own edges."""
    model = small_model()
    assert {name: output.shape for name, output in model.output.items()} == {"edges": (None, 4, 5), "label": (None, 3)}
    for answers in answers_of(model, noise_images()).values():
        assert answers.min() > 0
        np.testing.assert_allclose(answers.sum(axis=-1), 1, rtol=1e-5)


def test_a_model_of_one_class_answers_edges_alone() -> None:
    model = small_model(channels=1, labels=1)
    assert list(part("all", model, ONE_CLASS).compile_arguments["loss"]) == list(model.output) == ["edges"]
    decoded = decode(answers_of(model, np.zeros((2, 16, 16, 1), np.uint8)))
    assert (decoded.rows.tolist(), decoded.labels.tolist(), decoded.scores.tolist()) == ([0, 1], [0, 0], [1, 1])


def test_edges_are_computed_in_float32_where_layers_are_not() -> None:
    """Also their logits, of which 16 bits are too coarse to say where between two cells an edge is."""
    with computed_in("mixed_bfloat16"):
        model = small_model()
    logits = keras.Model(model.input, model.get_layer("edges").input)(noise_images())
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    rounded = keras.ops.cast(keras.ops.cast(logits, "bfloat16"), "float32")
    assert np.mean(keras.ops.convert_to_numpy(logits == rounded)) < 0.1


def test_a_side_that_the_last_cells_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^2 halvings need a side that is a multiple of 4 px$"):
        small_model(size=18)


def test_several_classes_and_a_second_look_belong_together() -> None:
    with pytest.raises(
        ValueError, match=r"^there is one class, which needs no second look: model.look has to be null$"
    ):
        build_model(SMALL, TargetsConfig(), 16, 3, 1, None)
    with pytest.raises(
        ValueError, match=r"^3 classes need a second look to be told apart: model.look must not be null$"
    ):
        build_model(ONE_CLASS, TargetsConfig(), 16, 3, 3, None)


@pytest.mark.parametrize(
    ("system", "labels"),
    [
        ("digits_distributional_localizer", 3),
        ("snack_distributional_localizer", 3),
        ("rectangle_distributional_localizer", 1),
    ],
)
def test_curves_are_drawn_of_columns_that_a_training_writes(system: str, labels: int) -> None:
    """Keras puts an output's name in front of a metric's only where there are several outputs."""
    model = small_model(labels=labels)
    model.compile(**part("all", model, SMALL).compile_arguments)
    targets = {"edges": np.float32([[0.25, 0.75, 0, 0.5]] * 2), "label": np.int32([0, 1])}
    targets = {name: targets[name] for name in model.output_names}
    trained = model.fit(noise_images(), targets, validation_data=(noise_images(), targets), verbose=0).history
    plots = YAML(typ="safe").load(PROJECT / "dvc.yaml")["plots"]
    of_system = [next(iter(plot.values()))["y"].get(f"reports/{system}/training/curves.csv", []) for plot in plots]
    assert {"loss", "val_loss"} < {column for columns in of_system for column in columns} <= set(trained)


def test_a_saved_model_answers_alike(tmp_path: Path) -> None:
    model = small_model()
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    again = answers_of(restored, noise_images())
    for name, answers in answers_of(model, noise_images()).items():
        np.testing.assert_allclose(again[name], answers, atol=1e-6)


@pytest.mark.slow
def test_a_few_steps_in_16_bits_lower_the_loss() -> None:
    targets = {"edges": np.float32([[0.25, 0.75, 0, 0.5], [0, 0.5, 0.25, 1]]), "label": np.int32([0, 2])}
    losses = losses_in_16_bits(small_model, lambda model: part("all", model, SMALL), noise_images(), targets)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_a_few_steps_on_six_images_overfit_them() -> None:
    """The class is a pattern that only the look at the right place tells apart: the same pixels in another order."""
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
    encoded = [encode(truth(box / 32, [label]), TargetsConfig()) for box, label in zip(boxes_xywh, labels, strict=True)]
    targets = {name: np.stack([arrays[name] for arrays in encoded]) for name in ("edges", "label")}
    model = small_model(size=32)
    model.compile(keras.optimizers.Adam(0.01), **part("all", model, SMALL).compile_arguments)
    steps = {name: np.tile(values, (40, 1)) for name, values in targets.items()}
    model.fit(np.tile(images, (40, 1, 1, 1)), steps, batch_size=6, epochs=2, shuffle=False, verbose=0)
    decoded = decode(model.predict_on_batch(images))
    ious = paired_iou(xywh_to_xyxy(decoded.boxes_rel_xywh * 32), xywh_to_xyxy(boxes_xywh))
    assert ious.min() > 0.8
    assert decoded.labels.tolist() == labels.tolist()
