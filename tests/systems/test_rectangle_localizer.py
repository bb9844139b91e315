import keras
import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.systems.rectangle_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.rectangle_localizer.model import build_model, mean_iou, part, stream
from pipeline.systems.rectangle_localizer.pretrained import sample
from pipeline.systems.rectangle_localizer.targets import as_outputs, decode, encode, examples, label_to_category_id
from tests.support.scenes import truth

# left 30, top 10, width 100, height 60 of 224 pixels
BOX_REL_XYWH = np.array([[30, 10, 100, 60]]) / 224

PUBLISHED = ModelConfig(endless=False, output="sigmoid")


def model_of(size: str) -> keras.Model:
    return build_model(PUBLISHED, TargetsConfig(), 224, 3, 1, sample(size))


def test_sides_are_squeezed_as_published() -> None:
    answer = encode(truth(BOX_REL_XYWH), TargetsConfig())["box"]
    expected = [1 / (1 + np.exp(-(pixels / 112 - 1))) for pixels in (10, 30, 60, 100)]  # top, left, height, width
    assert answer.tolist() == pytest.approx(expected, abs=1e-6)


def test_squeezed_sides_come_back() -> None:
    targets = encode(truth(BOX_REL_XYWH), TargetsConfig())
    decoded = decode(as_outputs({"box": targets["box"][None]}, 1))
    assert (decoded.boxes_rel_xywh[0] * 224).tolist() == pytest.approx([30, 10, 100, 60], abs=1e-3)
    assert (decoded.rows.tolist(), decoded.labels.tolist(), decoded.scores.tolist()) == ([0], [0], [1.0])


def test_answers_out_of_range_are_clipped_to_the_published_pixels() -> None:
    decoded = decode({"box": np.array([[0.0, 1.0, 0.1, 0.9]])})  # top, left, height, width
    assert (decoded.boxes_rel_xywh[0] * 224).tolist() == pytest.approx([223, 1, 223, 1])


@pytest.mark.parametrize(("num_boxes", "num_examples"), [(0, 0), (1, 1), (2, 0)])
def test_only_images_with_one_box(num_boxes: int, num_examples: int) -> None:
    assert len(examples(truth(np.ones((num_boxes, 4))), TargetsConfig(), training=True)) == num_examples


@pytest.mark.parametrize("training", [True, False])
def test_a_crowd_region_is_no_answer(training: bool) -> None:
    crowd_and_box = truth([[0, 0, 0.9, 0.9], [0.2, 0.5, 0.3, 0.25]], crowds=[0])
    assert [rows.tolist() for rows in examples(crowd_and_box, TargetsConfig(), training=training)] == [[1]]
    assert examples(crowd_and_box[np.array([0])], TargetsConfig(), training=training) == []


def test_a_dataset_with_several_categories_is_refused() -> None:
    assert label_to_category_id([7]).tolist() == [7]
    with pytest.raises(BoxlineError) as raised:
        label_to_category_id([1, 7])
    assert str(raised.value) == (
        "params.yaml: a rectangle_localizer answers no class, and its dataset has 2 categories. "
        "Give it a dataset with one category, or take another system."
    )


@pytest.mark.slow
def test_the_published_model() -> None:
    model = model_of("published")
    assert model.count_params() == 14_815_044
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 100_356
    assert model.get_layer("features").output.shape == (None, 25_088)
    assert {name: output.shape for name, output in model.output.items()} == {"box": (None, 4)}


@pytest.mark.slow
def test_the_loss_and_the_overlap_by_hand() -> None:
    model = model_of("small")
    model.compile("adam", **part("head", model, PUBLISHED).compile_arguments)
    images = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3)).astype(np.uint8)
    boxes_rel_xywh = np.array([[30, 10, 100, 60], [1, 1, 5, 200], [90, 100, 20, 20]]) / 224
    true = np.stack([encode(truth(box), TargetsConfig())["box"] for box in boxes_rel_xywh])
    answered = model.predict_on_batch(images)["box"].astype(np.float64)
    entropy = -(true * np.log(answered) + (1 - true) * np.log(1 - answered)).mean()
    found = model.evaluate(images, {"box": true}, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(entropy, rel=1e-5)
    overlaps = paired_iou(xywh_to_xyxy(decode({"box": answered}).boxes_rel_xywh), xywh_to_xyxy(boxes_rel_xywh))
    assert found["mean_iou"] == pytest.approx(overlaps.mean(), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "answered"),
    [
        ("sigmoid", [1 / (1 + np.exp(2.0)), 0.5, 1 / (1 + np.exp(-1.0))]),
        ("hard_sigmoid", [1 / 6, 0.5, 4 / 6]),
        ("linear", [-2.0, 0.0, 1.0]),
    ],
)
def test_outputs_and_their_losses_by_hand(output: str, answered: list[float]) -> None:
    """Of a dense layer that answers its biases, whatever it sees."""
    section = ModelConfig(endless=False, output=output)
    pooling = keras.Sequential([keras.layers.Input((16, 16, 3)), keras.layers.AveragePooling2D(8)])
    model = build_model(section, TargetsConfig(), 16, 3, 1, pooling)
    model.get_layer("box").set_weights([np.zeros((12, 4)), np.array([-2.0, 0.0, 1.0, 1.0])])
    images, true = np.zeros((1, 16, 16, 3), np.uint8), np.array([[0.3, 0.4, 0.5, 0.7]])
    expected = np.array([[*answered, answered[-1]]])
    np.testing.assert_allclose(model.predict_on_batch(images)["box"], expected, rtol=1e-6)
    model.compile("adam", **part("head", model, section).compile_arguments)
    if output == "linear":
        loss = ((true - expected) ** 2).mean()
    else:
        loss = -(true * np.log(expected) + (1 - true) * np.log(1 - expected)).mean()
    found = model.evaluate(images, {"box": true}, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_a_quarter_overlap_counts_a_quarter() -> None:
    true = encode(truth([0.2, 0.4, 0.4, 0.2]), TargetsConfig())["box"][None]
    half_as_large = encode(truth([0.2, 0.4, 0.2, 0.1]), TargetsConfig())["box"][None]
    assert float(mean_iou(true, half_as_large)[0]) == pytest.approx(0.25, abs=1e-5)


@pytest.mark.slow
def test_a_few_steps_on_four_images_overfit_them() -> None:
    keras.utils.set_random_seed(2)
    boxes_xywh = np.array([[20, 30, 60, 40], [100, 10, 40, 150], [5, 120, 180, 30], [150, 150, 50, 60]])
    images = np.zeros((4, 224, 224, 3), np.uint8)
    for image, (x, y, width, height) in zip(images, boxes_xywh, strict=True):
        image[y : y + height, x : x + width] = 255
    true = np.stack([encode(truth(box / 224), TargetsConfig())["box"] for box in boxes_xywh])
    model = model_of("small")
    model.compile(keras.optimizers.Adam(3e-3), **part("head", model, PUBLISHED).compile_arguments)
    overlaps = model.fit(images, {"box": true}, batch_size=4, epochs=140, verbose=0).history["mean_iou"]
    assert overlaps[-1] > 0.9 > overlaps[0]


@pytest.mark.slow
def test_the_stream_paints_what_its_targets_say() -> None:
    assert stream(PUBLISHED, 224, 3) is None
    draw = stream(ModelConfig(endless=True, output="sigmoid"), 224, 3)
    assert draw is not None
    images, targets = draw(np.random.default_rng(5), 6)
    assert images.shape == (6, 224, 224, 3)
    for image, box in zip(images, targets["box"], strict=True):
        x, y, width, height = np.rint(decode({"box": box[None]}).boxes_rel_xywh[0] * 224).astype(int)
        painted = np.zeros((224, 224, 3), np.uint8)
        painted[y : y + height, x : x + width] = 255
        np.testing.assert_array_equal(image, painted)
