from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.pretrained.resnet import ResNetWeights
from pipeline.systems.coco_yolo.config import ModelConfig, TargetsConfig
from pipeline.systems.coco_yolo.model import CocoYoloFactory, box_iou, box_loss
from pipeline.systems.common.interfaces import ModelShape

FACTORY = CocoYoloFactory()
PUBLISHED = ModelConfig(conv_filters=512, dense_units=2048, dropout=0.5)
SMALL = ModelConfig(conv_filters=8, dense_units=16, dropout=0.5)
GRID_6 = TargetsConfig(grid_size=6, max_boxes=4, tie_break="last", boxes_per_cell=1, crowd="encode")

pytestmark = pytest.mark.slow


def small_model(config: ModelConfig = SMALL, targets: TargetsConfig = GRID_6) -> keras.Model:
    return FACTORY.build_model(config, targets, ModelShape(96, 3, num_labels=12), ResNetWeights().random_init("small"))


def test_published_model_has_published_size() -> None:
    model = FACTORY.build_model(PUBLISHED, GRID_6, ModelShape(448, 3, 91), ResNetWeights().random_init("published"))
    assert model.count_params() == 77_850_336
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 77_797_088
    assert {name: output.shape for name, output in model.output.items()} == {
        "box": (None, 6, 6, 5),
        "class": (None, 6, 6, 91),
    }
    assert {"box", "class"} <= {layer.name for layer in model.layers}
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5]
    assert [layer.output.shape[1:] for layer in model.layers if isinstance(layer, keras.layers.Flatten)] == [(18_432,)]


def test_class_probabilities_sum_to_one_and_saved_model_predicts_the_same(tmp_path: Path) -> None:
    model = small_model()
    images = np.random.default_rng(1).integers(0, 256, (2, 96, 96, 3)).astype(np.uint8)
    outputs = model.predict_on_batch(images)
    np.testing.assert_allclose(outputs["class"].sum(axis=-1), 1, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    for name, values in restored.predict_on_batch(images).items():
        np.testing.assert_allclose(values, outputs[name], atol=1e-6)


def test_finer_grid_with_two_boxes_per_cell() -> None:
    fine = TargetsConfig(grid_size=12, max_boxes=None, tie_break="last", boxes_per_cell=2, crowd="encode")
    model = small_model(targets=fine)
    outputs = model.predict_on_batch(np.zeros((2, 96, 96, 3), np.uint8))
    assert {name: values.shape for name, values in outputs.items()} == {
        "box": (2, 12, 12, 10),
        "class": (2, 12, 12, 12),
    }
    np.testing.assert_allclose(outputs["class"].sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("box_a", "box_b", "expected"),
    [
        # center x, center y, width, height
        pytest.param((0.5, 0.5, 0.4, 0.2), (0.5, 0.5, 0.4, 0.2), 1.0, id="equal"),
        # intersection 0.2 x 0.2, union 0.08 + 0.08 - 0.04
        pytest.param((0.5, 0.5, 0.4, 0.2), (0.7, 0.5, 0.4, 0.2), 1 / 3, id="half overlap"),
        pytest.param((0.5, 0.5, 0.4, 0.2), (0.5, 0.5, -0.4, 0.2), 0.0, id="negative width"),
        pytest.param((0.5, 0.5, 0.0, 0.0), (0.5, 0.5, 0.0, 0.0), 0.0, id="without area"),
    ],
)
def test_box_iou_by_hand(box_a: tuple[float, ...], box_b: tuple[float, ...], expected: float) -> None:
    assert float(box_iou(np.float32([box_a]), np.float32([box_b]))[0]) == pytest.approx(expected, abs=1e-6)


def test_box_loss_by_hand() -> None:
    true, predicted = np.zeros((2, 1, 2, 5), np.float32), np.zeros((2, 1, 2, 5), np.float32)
    # First image, first cell: an object. Centers differ by (0.1, -0.2); sizes 0.25 and 0.16 against 0.16 and -0.04.
    true[0, 0, 0] = [0.5, 0.5, 0.25, 0.16, 1]
    predicted[0, 0, 0] = [0.6, 0.3, 0.16, -0.04, 0.7]
    # First image, second cell: no object, predicted confidence 0.6; center and size do not matter.
    predicted[0, 0, 1] = [9, 9, 9, 9, 0.6]
    # Second image: no object, predicted confidence -0.2.
    predicted[1, 0, 1, 4] = -0.2
    center = 5 * (0.1**2 + 0.2**2)
    size = 5 * ((0.5 - 0.4) ** 2 + (0.4 - -0.2) ** 2)  # signed square roots
    confidence = (0 - 0.7) ** 2  # a box of negative height overlaps nothing
    expected = [center + size + confidence + 0.5 * 0.6**2, 0.5 * 0.2**2]
    np.testing.assert_allclose(np.asarray(box_loss(true, predicted)), expected, rtol=1e-4)


def test_loss_of_two_boxes_per_cell_is_the_sum_of_both() -> None:
    random = np.random.default_rng(4)
    true, predicted = random.uniform(0, 1, (2, 3, 2, 4, 10)).astype(np.float32)
    true[..., 4::5] = random.integers(0, 2, (3, 2, 4, 2))
    alone = [np.asarray(box_loss(true[..., box], predicted[..., box])) for box in (slice(5), slice(5, 10))]
    np.testing.assert_allclose(np.asarray(box_loss(true, predicted)), alone[0] + alone[1], rtol=1e-5)


def test_perfect_prediction_has_no_loss() -> None:
    true = np.zeros((1, 2, 2, 5), np.float32)
    true[0, 1, 0] = [0.5, 0.5, 0.3, 0.2, 1]
    assert float(box_loss(true, true)[0]) == pytest.approx(0, abs=1e-6)


def test_ignored_cells_have_no_loss() -> None:
    """The class loss is the mean over the other cells."""
    model = small_model()
    model.compile("adam", **FACTORY.phase_model("all", model, SMALL).compile_arguments)
    images = np.random.default_rng(2).integers(0, 256, (2, 96, 96, 3)).astype(np.uint8)
    box, classes = np.zeros((2, 6, 6, 5), np.float32), np.zeros((2, 6, 6), np.int32)
    box[0, 2, 3], classes[0, 2, 3] = [0.5, 0.5, 0.3, 0.2, 1], 4
    is_ignored = np.zeros((2, 6, 6), bool)
    is_ignored[0, 1:4, 0:3] = True
    box[is_ignored, 4] = classes[is_ignored] = -1
    outputs = {name: np.asarray(values, np.float64) for name, values in model.predict_on_batch(images).items()}
    probabilities = np.take_along_axis(outputs["class"], np.maximum(classes, 0)[..., None], axis=-1)[..., 0]
    losses = model.evaluate(images, {"box": box, "class": classes}, verbose=0, return_dict=True)
    assert losses["class_loss"] == pytest.approx(-np.log(probabilities[~is_ignored]).mean(), rel=1e-4)
    empty = (0.5 * outputs["box"][..., 4] ** 2).sum(axis=(1, 2), where=(box[..., 4] == 0))
    alone = np.asarray(box_loss(box[:1, 2:3, 3:4], outputs["box"][:1, 2:3, 3:4].astype(np.float32)))[0]
    assert losses["box_loss"] == pytest.approx((empty.sum() + alone) / 2, rel=1e-4)


def test_model_overfits_four_images() -> None:
    keras.utils.set_random_seed(3)
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (4, 96, 96, 3)).astype(np.float32)
    box, classes = np.zeros((4, 6, 6, 5), np.float32), np.zeros((4, 6, 6), np.int32)
    for index in range(4):
        box[index, index, index + 1] = [0.3, 0.6, 0.2 + 0.1 * index, 0.4, 1]
        classes[index, index, index + 1] = index + 1
    config = ModelConfig(conv_filters=16, dense_units=64, dropout=0.0)
    model = small_model(config)
    model.compile(keras.optimizers.Adam(2e-3), **FACTORY.phase_model("all", model, config).compile_arguments)
    targets = {"box": box, "class": classes}
    losses = model.fit(images, targets, batch_size=4, epochs=60, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]
