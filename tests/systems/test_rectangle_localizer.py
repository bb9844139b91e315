from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from pipeline.core.errors import BoxlineError
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.pretrained.vgg import VggWeights
from pipeline.systems.common.interfaces import ModelShape
from pipeline.systems.rectangle_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.rectangle_localizer.model import RectangleLocalizerFactory, mean_iou
from pipeline.systems.rectangle_localizer.targets import RectangleCodec
from tests.support.codecs import example_rows, round_trip
from tests.support.scenes import ground_truth

CODEC, FACTORY = RectangleCodec(), RectangleLocalizerFactory()

# left 30, top 10, width 100, height 60 of 224 pixels
BOX_REL_XYWH = np.array([[30, 10, 100, 60]]) / 224

PUBLISHED = ModelConfig(generate_images=False, output="sigmoid")


def build(scale: str) -> keras.Model:
    return FACTORY.build_model(PUBLISHED, TargetsConfig(), ModelShape(224, 3, 1), VggWeights().random_init(scale))


def encode(boxes_rel_xywh: ArrayLike) -> NDArray[np.float32]:
    return CODEC.encode(ground_truth(boxes_rel_xywh), TargetsConfig())["box"]


def decode(box: NDArray[Any]) -> NDArray[np.float64]:
    """Predictions [N, 4] as relative xywh [N, 4]."""
    return np.concatenate([boxes.boxes_rel_xywh for boxes in CODEC.decode({"box": box})])


def test_box_is_sigmoid_encoded_as_published() -> None:
    expected = [1 / (1 + np.exp(-(pixels / 112 - 1))) for pixels in (10, 30, 60, 100)]  # top, left, height, width
    assert encode(BOX_REL_XYWH).tolist() == pytest.approx(expected, abs=1e-6)


def test_round_trip() -> None:
    decoded = round_trip(CODEC, ground_truth(BOX_REL_XYWH), TargetsConfig(), num_labels=1)
    assert (decoded.boxes_rel_xywh[0] * 224).tolist() == pytest.approx([30, 10, 100, 60], abs=1e-3)
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([0], [1.0])


def test_predictions_are_clipped_to_the_published_pixels() -> None:
    decoded = decode(np.array([[0.0, 1.0, 0.1, 0.9]]))  # top, left, height, width
    assert (decoded[0] * 224).tolist() == pytest.approx([223, 1, 223, 1])


@pytest.mark.parametrize(("num_boxes", "num_examples"), [(0, 0), (1, 1), (2, 0)])
def test_only_images_with_one_box_are_selected(num_boxes: int, num_examples: int) -> None:
    assert len(example_rows(CODEC, ground_truth(np.ones((num_boxes, 4))), TargetsConfig())) == num_examples


@pytest.mark.parametrize("training", [True, False])
def test_crowd_regions_are_not_selected(training: bool) -> None:
    crowd_and_box = ground_truth([[0, 0, 0.9, 0.9], [0.2, 0.5, 0.3, 0.25]], crowds=[0])
    assert example_rows(CODEC, crowd_and_box, TargetsConfig(), training=training) == [[1]]
    assert example_rows(CODEC, crowd_and_box[np.array([0])], TargetsConfig(), training=training) == []


def test_several_categories_are_rejected() -> None:
    assert CODEC.label_to_category_id([7]).tolist() == [7]
    with pytest.raises(BoxlineError) as raised:
        CODEC.label_to_category_id([1, 7])
    assert str(raised.value) == (
        "params.yaml: a rectangle_localizer predicts no class, and its dataset has 2 categories. "
        "Use a dataset with one category, or another system."
    )


@pytest.mark.slow
def test_published_model() -> None:
    model = build("published")
    assert model.count_params() == 14_815_044
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 100_356
    assert model.get_layer("features").output.shape == (None, 25_088)
    assert {name: output.shape for name, output in model.output.items()} == {"box": (None, 4)}


@pytest.mark.slow
def test_loss_and_mean_iou_by_hand() -> None:
    model = build("small")
    model.compile("adam", **FACTORY.phase_model("head", model, PUBLISHED).compile_arguments)
    images = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3)).astype(np.uint8)
    boxes_rel_xywh = np.array([[30, 10, 100, 60], [1, 1, 5, 200], [90, 100, 20, 20]]) / 224
    true = np.stack([encode(box) for box in boxes_rel_xywh])
    predicted = model.predict_on_batch(images)["box"].astype(np.float64)
    entropy = -(true * np.log(predicted) + (1 - true) * np.log(1 - predicted)).mean()
    values = model.evaluate(images, {"box": true}, verbose=0, return_dict=True)
    assert values["loss"] == pytest.approx(entropy, rel=1e-5)
    overlaps = paired_iou(xywh_to_xyxy(decode(predicted)), xywh_to_xyxy(boxes_rel_xywh))
    assert values["mean_iou"] == pytest.approx(overlaps.mean(), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "predicted"),
    [
        ("sigmoid", [1 / (1 + np.exp(2.0)), 0.5, 1 / (1 + np.exp(-1.0))]),
        ("hard_sigmoid", [1 / 6, 0.5, 4 / 6]),
        ("linear", [-2.0, 0.0, 1.0]),
        ("leaky_relu", [-0.4, 0.0, 1.0]),  # Keras's slope of 0.2 below 0
    ],
)
def test_outputs_and_their_losses_by_hand(output: str, predicted: list[float]) -> None:
    """The kernel of the dense layer is 0, so that it predicts its biases."""
    config = ModelConfig(generate_images=False, output=output)
    pooling = keras.Sequential([keras.layers.Input((16, 16, 3)), keras.layers.AveragePooling2D(8)])
    model = FACTORY.build_model(config, TargetsConfig(), ModelShape(16, 3, 1), pooling)
    model.get_layer("box").set_weights([np.zeros((12, 4)), np.array([-2.0, 0.0, 1.0, 1.0])])
    images, true = np.zeros((1, 16, 16, 3), np.uint8), np.array([[0.3, 0.4, 0.5, 0.7]])
    expected = np.array([[*predicted, predicted[-1]]])
    np.testing.assert_allclose(model.predict_on_batch(images)["box"], expected, rtol=1e-6)
    model.compile("adam", **FACTORY.phase_model("head", model, config).compile_arguments)
    if output in ("linear", "leaky_relu"):
        loss = ((true - expected) ** 2).mean()
    else:
        loss = -(true * np.log(expected) + (1 - true) * np.log(1 - expected)).mean()
    values = model.evaluate(images, {"box": true}, verbose=0, return_dict=True)
    assert values["loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_mean_iou_of_a_quarter() -> None:
    true, half_the_sides = encode([0.2, 0.4, 0.4, 0.2])[None], encode([0.2, 0.4, 0.2, 0.1])[None]
    assert float(mean_iou(true, half_the_sides)[0]) == pytest.approx(0.25, abs=1e-5)


@pytest.mark.slow
def test_model_overfits_four_images() -> None:
    keras.utils.set_random_seed(2)
    boxes_xywh = np.array([[20, 30, 60, 40], [100, 10, 40, 150], [5, 120, 180, 30], [150, 150, 50, 60]])
    images = np.zeros((4, 224, 224, 3), np.uint8)
    for image, (x, y, width, height) in zip(images, boxes_xywh, strict=True):
        image[y : y + height, x : x + width] = 255
    true = np.stack([encode(box / 224) for box in boxes_xywh])
    model = build("small")
    model.compile(keras.optimizers.Adam(3e-3), **FACTORY.phase_model("head", model, PUBLISHED).compile_arguments)
    overlaps = model.fit(images, {"box": true}, batch_size=4, epochs=140, verbose=0).history["mean_iou"]
    assert overlaps[-1] > 0.9 > overlaps[0]


@pytest.mark.slow
def test_synthetic_images_show_their_targets() -> None:
    assert FACTORY.synthetic_batches(PUBLISHED, ModelShape(224, 3, 1)) is None
    generate = FACTORY.synthetic_batches(ModelConfig(generate_images=True, output="sigmoid"), ModelShape(224, 3, 1))
    assert generate is not None
    images, targets = generate(np.random.default_rng(5), 6)
    assert images.shape == (6, 224, 224, 3)
    for image, box in zip(images, targets["box"], strict=True):
        x, y, width, height = np.rint(decode(box[None])[0] * 224).astype(int)
        painted = np.zeros((224, 224, 3), np.uint8)
        painted[y : y + height, x : x + width] = 255
        np.testing.assert_array_equal(image, painted)
