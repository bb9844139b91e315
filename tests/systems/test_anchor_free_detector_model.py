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
    INITIAL_LOGIT,
    AnchorFreeDetectorFactory,
    DenseLoss,
    TaskAlignedAssigner,
    cell_centers,
)
from pipeline.systems.anchor_free_detector.targets import AnchorFreeCodec
from pipeline.systems.common.interfaces import ModelShape
from tests.support.precision import dtype_policy, losses_in_float16
from tests.support.scenes import ground_truth

CODEC, FACTORY = AnchorFreeCodec(), AnchorFreeDetectorFactory()
THREE = TargetsConfig(max_boxes=3)


def small_config(stages: int = 3) -> ModelConfig:
    """A pyramid level of stride 8, and another level for each further stage."""
    widths = [6, 10, 12, 14][:stages]
    return ModelConfig(
        stages=tuple(StageConfig(filters=filters, blocks=1) for filters in widths), pyramid_filters=8, topk=4
    )


def small_model(size: int = 32, stages: int = 3) -> keras.Model:
    """A model of two classes."""
    return FACTORY.build_model(small_config(stages), THREE, ModelShape(size, 3, 2), None)


def predict(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(ops.convert_to_numpy(model(images)["boxes"]))


def noise(count: int, size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


# A grid of 2 x 2 cells. The first object covers the upper row, the second the right column: the upper right cell is a
# candidate for both, the lower left cell for none.
UPPER, RIGHT = [0, 0, 1, 0.5, 0, 0], [0.5, 0, 1, 1, 1, 0]
PREDICTED = [[0, 0, 0.5, 0.75], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.25, 1, 1]]
PROBABILITIES = [[0.64, 0.1], [0.16, 0.36], [0.9, 0.9], [0.2, 0.81]]
PADDING = [0, 0, 0, 0, -1, 0]


def assign(boxes_true: ArrayLike, topk: int, sides: tuple[int, ...] = (2,)) -> NDArray[np.float32]:
    """The target confidences of one image with PREDICTED, repeated for the cells of further levels."""
    num_cells = sum(side * side for side in sides)
    boxes = np.resize(np.float32(PREDICTED), (num_cells, 4))
    probabilities = np.resize(np.float32(PROBABILITIES), (num_cells, 2))
    assigner = TaskAlignedAssigner(sides, topk)
    confidences = assigner.assign(np.float32([boxes_true]), boxes[None], probabilities[None])
    return np.asarray(ops.convert_to_numpy(confidences))[0]


def test_cell_with_two_candidate_objects_goes_to_the_better_aligned() -> None:
    """IoU of the first object with its cells: 0.4 and 0.5; of the second: 0.5 and 0.75.

    Their alignments are 0.8 x 0.4^4 = 0.02048 and 0.4 x 0.5^4 = 0.025, and 0.6 x 0.5^4 = 0.0375 and
    0.9 x 0.75^4 = 0.28477. The best cell of each object gets its best IoU as confidence, the other in proportion.
    """
    confidences = [[0.4, 0, 0, 0], [0, 0.75 * 0.0375 / 0.28477, 0, 0.75]]
    np.testing.assert_allclose(assign([UPPER, RIGHT], topk=2), confidences, rtol=1e-3)
    np.testing.assert_allclose(assign([RIGHT, UPPER], topk=9), confidences[::-1], rtol=1e-3)


def test_at_most_topk_cells_are_assigned() -> None:
    """The upper right cell is the best one for the first object alone; the second keeps its best cell."""
    np.testing.assert_allclose(assign([UPPER, RIGHT], topk=1), [[0, 0.5, 0, 0], [0, 0, 0, 0.75]], rtol=1e-4)


def test_small_object_between_cell_centers_gets_the_cell_with_its_center() -> None:
    """An object of 0.1 x 0.02 in predicted boxes of area 0.375 and 0.25, on the finer and on the coarser level."""
    tiny = [0.3, 0.2, 0.4, 0.22, 0, 0]
    confidences = assign([tiny], topk=9, sides=(2, 1))
    assert np.flatnonzero(confidences[0]).tolist() == [0, 4]
    assert confidences.max() == pytest.approx(0.1 * 0.02 / 0.375, rel=1e-4)
    assert np.flatnonzero(assign([tiny], topk=1, sides=(2,))).tolist() == [0]


def test_padding_and_crowd_regions_are_not_assigned() -> None:
    crowd = [*UPPER[:5], 1]
    confidences = assign([PADDING, crowd, RIGHT, PADDING], topk=2)
    assert confidences[[0, 1, 3]].max() == 0
    assert np.flatnonzero(confidences[2]).tolist() == [1, 3]


def test_duplicate_object_is_assigned_once() -> None:
    """COCO has duplicates. A cell for both would have a target confidence above 1 and doubled coordinates."""
    confidences = assign([RIGHT, RIGHT], topk=2)
    assert confidences[1].max() == 0
    np.testing.assert_allclose(confidences[0], assign([RIGHT], topk=2)[0], rtol=1e-6)


def logits(probabilities: ArrayLike) -> NDArray[np.float64]:
    odds = np.asarray(probabilities, np.float64)
    return np.log(odds / (1 - odds))


def entropy(confidences: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    true, predicted = np.asarray(confidences, np.float64), np.asarray(probabilities, np.float64)
    return -true * np.log(predicted) - (1 - true) * np.log(1 - predicted)


CONFIDENCES = [[0.4, 0], [0, 0.75 * 0.0375 / 0.28477], [0, 0], [0, 0.75]]

# Confidence x (1 - generalized IoU). The first predicted box extends beyond its object: IoU 0.4, and 0.125 of the
# enclosing area of 0.75 is in neither. The other predicted boxes lie inside their objects.
BOX_LOSSES = 0.4 * (1 - (0.4 - 0.125 / 0.75)) + CONFIDENCES[1][1] * (1 - 0.5) + 0.75 * (1 - 0.75)


def loss_of(*boxes_true: ArrayLike) -> float:
    """The loss of a batch of images with the same predictions."""
    predicted = np.concatenate([PREDICTED, logits(PROBABILITIES)], axis=1).astype(np.float32)
    return float(DenseLoss([2], 2)(np.float32(boxes_true), np.stack([predicted] * len(boxes_true))))


def test_dense_loss_by_hand() -> None:
    """The sum over the batch, divided by its sum of confidences; the second image has no object."""
    alone = entropy(CONFIDENCES, PROBABILITIES).sum() + BOX_WEIGHT * BOX_LOSSES
    empty = entropy(np.zeros((4, 2)), PROBABILITIES).sum()
    num_objects = np.sum(CONFIDENCES)
    assert loss_of([UPPER, RIGHT]) == pytest.approx(alone / num_objects, rel=1e-3)
    assert loss_of([UPPER, RIGHT], [PADDING, PADDING]) == pytest.approx((alone + empty) / num_objects, rel=1e-3)
    assert loss_of([PADDING, PADDING]) == pytest.approx(empty, rel=1e-4)


def test_cells_in_crowd_region_have_no_loss_unless_assigned() -> None:
    """The region covers the lower row: one of its cells is assigned to an object, the other to none."""
    crowd = [0, 0.5, 1, 1, 0, 1]
    entropies = entropy(CONFIDENCES, PROBABILITIES)
    expected = (entropies[[0, 1, 3]].sum() + BOX_WEIGHT * BOX_LOSSES) / np.sum(CONFIDENCES)
    assert loss_of([UPPER, crowd, RIGHT]) == pytest.approx(expected, rel=1e-3)


# The model


def zero_distances(model: keras.Model) -> None:
    """Set the weights of the distances to 0: every box is four cells wide."""
    [layer] = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.filters == 4]
    layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])


def test_initial_boxes_are_centered_on_their_cells() -> None:
    """Level after level, row after row: the first 16 cells have stride 8."""
    model = small_model(stages=4)
    zero_distances(model)
    [cells] = predict(model, np.zeros((1, 32, 32, 3), np.uint8))
    assert cells.shape == (16 + 4, 4 + 2)
    np.testing.assert_allclose((cells[:, :2] + cells[:, 2:4]) / 2, cell_centers([4, 2]), atol=1e-6)
    np.testing.assert_allclose(cells[:, 2:4] - cells[:, :2], [[1, 1]] * 16 + [[2, 2]] * 4, atol=1e-5)
    assert cells[:, 4:].mean() == pytest.approx(INITIAL_LOGIT, abs=1)


def test_cells_depend_on_the_pixels_around_their_centers() -> None:
    """A single lit pixel changes predictions around it on both levels, and not at its mirror image."""
    keras.utils.set_random_seed(5)
    images = np.zeros((3, 96, 96, 3), np.uint8)
    pixels = [(84, 12), (36, 80)]
    for image, (x, y) in zip(images[1:], pixels, strict=True):
        image[y, x] = 255
    dark, *lit = predict(small_model(size=96, stages=4), images)
    for cells, pixel in zip(lit, pixels, strict=True):
        change = ((cells - dark)[:, 4:] ** 2).sum(axis=1)
        for level, sides in [(slice(0, 144), 12), (slice(144, 180), 6)]:
            center = np.average(cell_centers([sides]), axis=0, weights=change[level])
            assert np.abs(center * 96 - pixel).max() < 20


def test_pyramid_passes_features_from_coarse_to_fine() -> None:
    """The receptive field of a fine cell reaches 48 px; through the coarser level it reaches further."""
    keras.utils.set_random_seed(5)
    model = small_model(size=192, stages=4)
    images = np.zeros((2, 192, 192, 3), np.uint8)
    images[1, 100, 100] = 255
    dark, lit = predict(model, images)
    fine = slice(0, 24 * 24)
    distances = np.abs(cell_centers([24]) * 192 - 100).max(axis=1)
    changed = np.abs((lit - dark)[fine]).max(axis=1) > 0
    assert distances[changed].max() > 60


def test_block_is_residual() -> None:
    """A block whose filters are all 0 does not change the predictions."""
    filters = tuple(StageConfig(filters=count, blocks=0) for count in (6, 10, 12))
    plain = ModelConfig(stages=filters, pyramid_filters=8, topk=4)
    residual = ModelConfig(stages=(*filters[:2], StageConfig(filters=12, blocks=1)), pyramid_filters=8, topk=4)
    models = [FACTORY.build_model(config, THREE, ModelShape(32, 3, 2), None) for config in (plain, residual)]
    narrow, *_ = (layer for layer in models[1].layers if getattr(layer, "kernel_size", None) == (1, 1))
    narrow.set_weights([np.zeros_like(weight) for weight in narrow.get_weights()])
    shared = iter(models[0].weights)
    start = [weight.path for weight in models[1].weights].index(narrow.weights[0].path)
    block = models[1].weights[start : start + 2 * 5]  # two convolutions with their normalizations
    for weight in models[1].weights:
        if not any(weight is own for own in block):
            weight.assign(next(shared))
    images = noise(2, 32)
    np.testing.assert_allclose(predict(models[1], images), predict(models[0], images), atol=1e-6)


def test_image_size_must_be_multiple_of_coarsest_cell() -> None:
    with pytest.raises(ValueError, match=r"^4 stages need a side that is a multiple of 16 px$"):
        small_model(size=40, stages=4)


def test_boxes_and_logits_are_computed_in_float32_under_mixed_precision() -> None:
    """Computed, not only cast: values rounded to 16 bits move a box by up to a pixel."""
    with dtype_policy("mixed_bfloat16"):
        boxes = small_model()(noise(2, 32))["boxes"]
    assert keras.backend.standardize_dtype(boxes.dtype) == "float32"
    rounded = ops.cast(ops.cast(boxes, "bfloat16"), "float32")
    assert np.mean(ops.convert_to_numpy(boxes == rounded)) < 0.1


def test_saved_model_predicts_the_same(tmp_path: Path) -> None:
    model = small_model(stages=4)
    images = noise(2, 32)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(predict(restored, images), predict(model, images), atol=1e-6)


@pytest.mark.slow
def test_training_in_float16_lowers_the_loss() -> None:
    boxes = np.stack([CODEC.encode(ground_truth([[0.1, 0.1, 0.5, 0.3]], [1]), THREE)["boxes"]] * 2)
    losses = losses_in_float16(
        small_model, lambda model: FACTORY.phase_model("all", model, small_config()), noise(2, 32), {"boxes": boxes}
    )
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_model_overfits_two_images() -> None:
    """The first image has two objects, the second one object and a crowd region."""
    keras.utils.set_random_seed(4)
    scenes = [
        ground_truth(np.array([[2, 4, 16, 10], [18, 16, 12, 14]]) / 32, [0, 1]),
        ground_truth(np.array([[4, 14, 10, 16], [20, 0, 12, 12]]) / 32, [1, 0], crowds=[1]),
    ]
    images = np.zeros((2, 32, 32, 3), np.uint8)
    for image, scene in zip(images, scenes, strict=True):
        for (x, y, width, height), label in zip((scene.boxes_rel_xywh * 32).astype(int), scene.labels, strict=True):
            image[y : y + height, x : x + width, label] = 255
    targets: dict[str, Any] = {"boxes": np.stack([CODEC.encode(scene, THREE)["boxes"] for scene in scenes])}
    model = small_model()
    model.compile(keras.optimizers.Adam(0.01), **FACTORY.phase_model("all", model, small_config()).compile_arguments)
    before = model.evaluate(images, targets, verbose=0)
    steps = {"boxes": np.tile(targets["boxes"], (75, 1, 1))}
    model.fit(np.tile(images, (75, 1, 1, 1)), steps, batch_size=2, epochs=2, shuffle=False, verbose=0)
    assert model.evaluate(images, targets, verbose=0) < 0.5 * before
    decoded = CODEC.decode(model.predict_on_batch(images))
    for scene, boxes in zip(scenes, decoded, strict=True):
        objects = scene.objects
        best = [np.flatnonzero(boxes.labels == label)[0] for label in objects.labels]
        assert boxes.scores[best].min() > 0.5
        np.testing.assert_allclose(boxes.boxes_rel_xywh[best] * 32, objects.boxes_rel_xywh * 32, atol=2)
