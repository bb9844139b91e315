from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import ArrayLike, NDArray

from pipeline.systems.anchor_free_detector.config import ModelConfig, StageConfig, TargetsConfig
from pipeline.systems.anchor_free_detector.model import (
    BOX_WEIGHT,
    START_LOGIT,
    DenseLoss,
    build_model,
    cell_centers,
    part,
)
from pipeline.systems.anchor_free_detector.targets import decode, encode
from tests.support.precision import computed_in, losses_in_16_bits
from tests.support.scenes import truth

THREE = TargetsConfig(max_boxes=3)


def small(stages: int = 3) -> ModelConfig:
    """A level of stride 8, and one more for each further stage."""
    widths = [6, 10, 12, 14][:stages]
    return ModelConfig(
        stages=tuple(StageConfig(filters=filters, blocks=1) for filters in widths), pyramid_filters=8, topk=4
    )


def small_model(size: int = 32, stages: int = 3) -> keras.Model:
    """Of two classes."""
    return build_model(small(stages), THREE, size, 3, 2, None)


def answers_of(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(ops.convert_to_numpy(model(images)["boxes"]))


def noise(count: int, size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


# Cells of two by two. The first object lies over the upper row, the second over the right column: both want the upper
# right cell. Nobody wants the lower left one.
UPPER, RIGHT = [0, 0, 1, 0.5, 0, 0], [0.5, 0, 1, 1, 1, 0]
ANSWERS = [[0, 0, 0.5, 0.75], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.25, 1, 1]]
PROBABILITIES = [[0.64, 0.1], [0.16, 0.36], [0.9, 0.9], [0.2, 0.81]]
PADDING = [0, 0, 0, 0, -1, 0]


def matched(boxes_true: ArrayLike, candidates: int, sides: tuple[int, ...] = (2,)) -> NDArray[np.float32]:
    """Of one image with ANSWERS, and as much of them again as further levels have cells."""
    num_cells = sum(side * side for side in sides)
    answers = np.resize(np.float32(ANSWERS), (num_cells, 4))
    probabilities = np.resize(np.float32(PROBABILITIES), (num_cells, 2))
    found = DenseLoss(sides, candidates).match(np.float32([boxes_true]), answers[None], probabilities[None])
    return np.asarray(ops.convert_to_numpy(found))[0]


def test_a_cell_that_both_want_goes_to_the_one_that_it_is_aligned_better_with() -> None:
    """IoU of the first object with its cells: 0.4 and 0.5; of the second: 0.5 and 0.75.

    So their alignments are 0.8 x 0.4^4 = 0.02048 and 0.4 x 0.5^4 = 0.025, and 0.6 x 0.5^4 = 0.0375 and
    0.9 x 0.75^4 = 0.28477.
    The best one of each is to have its best IoU as confidence, the other in proportion.
    """
    confidences = [[0.4, 0, 0, 0], [0, 0.75 * 0.0375 / 0.28477, 0, 0.75]]
    np.testing.assert_allclose(matched([UPPER, RIGHT], candidates=2), confidences, rtol=1e-3)
    np.testing.assert_allclose(matched([RIGHT, UPPER], candidates=9), confidences[::-1], rtol=1e-3)


def test_no_more_cells_answer_than_there_may_be() -> None:
    """Alone the upper right cell is aligned best with the first object; the second needs no other than its best."""
    np.testing.assert_allclose(matched([UPPER, RIGHT], candidates=1), [[0, 0.5, 0, 0], [0, 0, 0, 0.75]], rtol=1e-4)


def test_an_object_between_cell_centres_has_the_cell_that_holds_its_own() -> None:
    """0.1 x 0.02 in an answer of 0.375 and one of 0.25, on the finer and on the coarser level."""
    tiny = [0.3, 0.2, 0.4, 0.22, 0, 0]
    confidences = matched([tiny], candidates=9, sides=(2, 1))
    assert np.flatnonzero(confidences[0]).tolist() == [0, 4]
    assert confidences.max() == pytest.approx(0.1 * 0.02 / 0.375, rel=1e-4)
    assert np.flatnonzero(matched([tiny], candidates=1, sides=(2,))).tolist() == [0]


def test_padding_and_crowd_regions_match_nothing() -> None:
    crowd = [*UPPER[:5], 1]
    confidences = matched([PADDING, crowd, RIGHT, PADDING], candidates=2)
    assert confidences[[0, 1, 3]].max() == 0
    assert np.flatnonzero(confidences[2]).tolist() == [1, 3]


def test_a_box_that_stands_there_twice_is_matched_once() -> None:
    """COCO has such boxes. A cell for both would be taught a confidence above 1, and twice the coordinates."""
    confidences = matched([RIGHT, RIGHT], candidates=2)
    assert confidences[1].max() == 0
    np.testing.assert_allclose(confidences[0], matched([RIGHT], candidates=2)[0], rtol=1e-6)


def logits_of(probabilities: ArrayLike) -> NDArray[np.float64]:
    odds = np.asarray(probabilities, np.float64)
    return np.log(odds / (1 - odds))


def entropy(confidences: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    wanted, said = np.asarray(confidences, np.float64), np.asarray(probabilities, np.float64)
    return -wanted * np.log(said) - (1 - wanted) * np.log(1 - said)


CONFIDENCES = [[0.4, 0], [0, 0.75 * 0.0375 / 0.28477], [0, 0], [0, 0.75]]

# Confidence times one less generalized IoU. The first answer leaves its object: IoU 0.4, and of the 0.75 around both
# 0.125 are neither's. The others lie inside theirs.
BOX_LOSSES = 0.4 * (1 - (0.4 - 0.125 / 0.75)) + CONFIDENCES[1][1] * (1 - 0.5) + 0.75 * (1 - 0.75)


def loss_of(*boxes_true: ArrayLike) -> float:
    """Of a batch of images that all have the same answers."""
    answers = np.concatenate([ANSWERS, logits_of(PROBABILITIES)], axis=1).astype(np.float32)
    return float(DenseLoss([2], 2)(np.float32(boxes_true), np.stack([answers] * len(boxes_true))))


def test_the_loss_by_hand() -> None:
    """Of all cells and matched boxes of the batch, by how much is matched in it; the second image has no object."""
    alone = entropy(CONFIDENCES, PROBABILITIES).sum() + BOX_WEIGHT * BOX_LOSSES
    empty = entropy(np.zeros((4, 2)), PROBABILITIES).sum()
    num_objects = np.sum(CONFIDENCES)
    assert loss_of([UPPER, RIGHT]) == pytest.approx(alone / num_objects, rel=1e-3)
    assert loss_of([UPPER, RIGHT], [PADDING, PADDING]) == pytest.approx((alone + empty) / num_objects, rel=1e-3)
    assert loss_of([PADDING, PADDING]) == pytest.approx(empty, rel=1e-4)


def test_cells_in_a_crowd_region_have_no_loss_unless_an_object_has_them() -> None:
    """The region covers the lower row: one cell of it answers for an object, the other for nothing."""
    crowd = [0, 0.5, 1, 1, 0, 1]
    entropies = entropy(CONFIDENCES, PROBABILITIES)
    expected = (entropies[[0, 1, 3]].sum() + BOX_WEIGHT * BOX_LOSSES) / np.sum(CONFIDENCES)
    assert loss_of([UPPER, crowd, RIGHT]) == pytest.approx(expected, rel=1e-3)


# The model


def without_distances(model: keras.Model) -> None:
    """Boxes as they are before training, but for chance: four cells wide."""
    [layer] = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.filters == 4]
    layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])


def test_boxes_lie_around_the_centres_of_their_cells() -> None:
    """Level after level, row after row: the first 16 are those of stride 8."""
    model = small_model(stages=4)
    without_distances(model)
    [answers] = answers_of(model, np.zeros((1, 32, 32, 3), np.uint8))
    assert answers.shape == (16 + 4, 4 + 2)
    np.testing.assert_allclose((answers[:, :2] + answers[:, 2:4]) / 2, cell_centers([4, 2]), atol=1e-6)
    np.testing.assert_allclose(answers[:, 2:4] - answers[:, :2], [[1, 1]] * 16 + [[2, 2]] * 4, atol=1e-5)
    assert answers[:, 4:].mean() == pytest.approx(START_LOGIT, abs=1)


def test_a_cell_answers_for_the_pixels_around_its_centre() -> None:
    """A pixel that lights up changes answers around it, on both levels, and not where it would lie mirrored."""
    keras.utils.set_random_seed(5)
    images = np.zeros((3, 96, 96, 3), np.uint8)
    pixels = [(84, 12), (36, 80)]
    for image, (x, y) in zip(images[1:], pixels, strict=True):
        image[y, x] = 255
    dark, *lit = answers_of(small_model(size=96, stages=4), images)
    for answers, pixel in zip(lit, pixels, strict=True):
        change = ((answers - dark)[:, 4:] ** 2).sum(axis=1)
        for level, sides in [(slice(0, 144), 12), (slice(144, 180), 6)]:
            middle = np.average(cell_centers([sides]), axis=0, weights=change[level])
            assert np.abs(middle * 96 - pixel).max() < 20


def test_fine_cells_know_what_the_coarse_ones_see() -> None:
    """A fine cell itself sees 48 px far; what it has from the coarser level comes from further away."""
    keras.utils.set_random_seed(5)
    model = small_model(size=192, stages=4)
    images = np.zeros((2, 192, 192, 3), np.uint8)
    images[1, 100, 100] = 255
    dark, lit = answers_of(model, images)
    fine = slice(0, 24 * 24)
    distances = np.abs(cell_centers([24]) * 192 - 100).max(axis=1)
    changed = np.abs((lit - dark)[fine]).max(axis=1) > 0
    assert distances[changed].max() > 60


def test_a_block_adds_to_what_it_is_given() -> None:
    """A stage with a block whose filters are all 0 answers like one without a block."""
    filters = tuple(StageConfig(filters=count, blocks=0) for count in (6, 10, 12))
    plain = ModelConfig(stages=filters, pyramid_filters=8, topk=4)
    residual = ModelConfig(stages=(*filters[:2], StageConfig(filters=12, blocks=1)), pyramid_filters=8, topk=4)
    models = [build_model(model, THREE, 32, 3, 2, None) for model in (plain, residual)]
    narrow, *_ = (layer for layer in models[1].layers if getattr(layer, "kernel_size", None) == (1, 1))
    narrow.set_weights([np.zeros_like(weight) for weight in narrow.get_weights()])
    shared = iter(models[0].weights)
    start = [weight.path for weight in models[1].weights].index(narrow.weights[0].path)
    block = models[1].weights[start : start + 2 * 5]  # two convolutions with their norms
    for weight in models[1].weights:
        if not any(weight is own for own in block):
            weight.assign(next(shared))
    images = noise(2, 32)
    np.testing.assert_allclose(answers_of(models[1], images), answers_of(models[0], images), atol=1e-6)


def test_a_side_that_the_last_cells_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^4 stages need a side that is a multiple of 16 px$"):
        small_model(size=40, stages=4)


def test_boxes_and_confidences_are_computed_in_float32_where_layers_are_not() -> None:
    """Not only handed on in it: what a layer has in 16 bits lies up to a pixel beside the box."""
    with computed_in("mixed_bfloat16"):
        answers = small_model()(noise(2, 32))["boxes"]
    assert keras.backend.standardize_dtype(answers.dtype) == "float32"
    rounded = ops.cast(ops.cast(answers, "bfloat16"), "float32")
    assert np.mean(ops.convert_to_numpy(answers == rounded)) < 0.1


def test_a_saved_model_answers_alike(tmp_path: Path) -> None:
    model = small_model(stages=4)
    images = noise(2, 32)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(answers_of(restored, images), answers_of(model, images), atol=1e-6)


@pytest.mark.slow
def test_a_few_steps_in_16_bits_lower_the_loss() -> None:
    boxes = np.stack([encode(truth([[0.1, 0.1, 0.5, 0.3]], [1]), THREE)["boxes"]] * 2)
    losses = losses_in_16_bits(small_model, lambda model: part("all", model, small()), noise(2, 32), {"boxes": boxes})
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_a_few_steps_on_two_images_overfit_them() -> None:
    """One has two objects, the other one and a crowd region."""
    keras.utils.set_random_seed(4)
    scenes = [
        truth(np.array([[2, 4, 16, 10], [18, 16, 12, 14]]) / 32, [0, 1]),
        truth(np.array([[4, 14, 10, 16], [20, 0, 12, 12]]) / 32, [1, 0], crowds=[1]),
    ]
    images = np.zeros((2, 32, 32, 3), np.uint8)
    for image, scene in zip(images, scenes, strict=True):
        for (x, y, width, height), label in zip((scene.boxes_rel_xywh * 32).astype(int), scene.labels, strict=True):
            image[y : y + height, x : x + width, label] = 255
    targets: dict[str, Any] = {"boxes": np.stack([encode(scene, THREE)["boxes"] for scene in scenes])}
    model = small_model()
    model.compile(keras.optimizers.Adam(0.01), **part("all", model, small()).compile_arguments)
    before = model.evaluate(images, targets, verbose=0)
    steps = {"boxes": np.tile(targets["boxes"], (75, 1, 1))}
    model.fit(np.tile(images, (75, 1, 1, 1)), steps, batch_size=2, epochs=2, shuffle=False, verbose=0)
    assert model.evaluate(images, targets, verbose=0) < 0.5 * before
    found = decode(model.predict_on_batch(images)).by_image(2)
    for scene, labeled_boxes in zip(scenes, found, strict=True):
        objects = scene[~scene.is_crowd]
        best = [np.flatnonzero(labeled_boxes.labels == label)[0] for label in objects.labels]
        assert labeled_boxes.scores[best].min() > 0.5
        np.testing.assert_allclose(labeled_boxes.boxes_rel_xywh[best] * 32, objects.boxes_rel_xywh * 32, atol=2)
