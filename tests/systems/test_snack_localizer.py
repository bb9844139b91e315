import keras
import numpy as np
import pytest

from pipeline.geometry.boxes import paired_iou
from pipeline.systems.snack_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.snack_localizer.model import build_model, part
from pipeline.systems.snack_localizer.pretrained import sample
from pipeline.systems.snack_localizer.targets import as_outputs, decode, encode, examples, label_to_category_id
from tests.support.scenes import truth

PUBLISHED = ModelConfig(dropout=0.7, class_l2=0.01, box_filters=512)
SMALL = ModelConfig(dropout=0.0, class_l2=0.0, box_filters=32)
EVERY, ONE = TargetsConfig(rows="every"), TargetsConfig(rows="one")

# The second box overlaps both others; the third lies apart from the first.
THREE_BOXES = np.array([[0.1, 0.1, 0.3, 0.2], [0.2, 0.1, 0.3, 0.2], [0.4, 0.1, 0.3, 0.2]])


def small_model(size: int = 64, labels: int = 4) -> keras.Model:
    return build_model(SMALL, EVERY, size, 3, labels, sample("small"))


def test_coordinates_stand_in_the_order_of_the_published_csv() -> None:
    targets = encode(truth([0.1, 0.25, 0.5, 0.625], [7]), EVERY)
    assert targets["bbox_prediction"].tolist() == pytest.approx([0.1, 0.6, 0.25, 0.875])
    assert targets["class_prediction"].tolist() == [7]


def test_a_box_comes_back() -> None:
    targets = encode(truth([0.1, 0.25, 0.5, 0.625], [7]), EVERY)
    decoded = decode(as_outputs({name: array[None] for name, array in targets.items()}, num_labels=20))
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx([0.1, 0.25, 0.5, 0.625])
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([7], [1.0])


def test_an_inverted_answer_stays_inverted() -> None:
    outputs = {"class_prediction": np.array([[0.2, 0.8]]), "bbox_prediction": np.array([[0.6, 0.1, 0.2, 0.3]])}
    assert decode(outputs).boxes_rel_xywh[0].tolist() == pytest.approx([0.6, 0.2, -0.5, 0.1])


def test_every_row_is_an_example_of_its_own() -> None:
    assert [example.tolist() for example in examples(truth(THREE_BOXES), EVERY, training=True)] == [[0], [1], [2]]


@pytest.mark.parametrize(("targets", "training"), [(ONE, True), (ONE, False), (EVERY, False)])
def test_one_row_is_the_one_that_overlaps_the_others_most(targets: TargetsConfig, training: bool) -> None:
    assert [example.tolist() for example in examples(truth(THREE_BOXES), targets, training=training)] == [[1]]


def test_an_image_without_rows_has_no_example() -> None:
    assert examples(truth([]), EVERY, training=True) == []
    assert examples(truth([]), ONE, training=False) == []


def test_a_crowd_region_is_no_row() -> None:
    boxes = truth(THREE_BOXES, crowds=[1])
    assert [rows.tolist() for rows in examples(boxes, EVERY, training=True)] == [[0], [2]]
    assert [rows.tolist() for rows in examples(boxes, ONE, training=True)] == [[0]]  # both overlap nothing else
    assert examples(truth(THREE_BOXES, crowds=[0, 1, 2]), EVERY, training=False) == []


def test_labels_count_the_categories_without_gaps() -> None:
    assert label_to_category_id([3, 1, 9]).tolist() == [1, 3, 9]


@pytest.mark.slow
def test_the_published_model() -> None:
    model = build_model(PUBLISHED, EVERY, 224, 3, 20, sample("published"))
    # MobileNet 3,228,864; classes 1024 x 20 + 20; boxes 9 x 1024 x 512 + 512, batch norm 4 x 512, 512 x 4 + 4
    assert model.count_params() == 3_228_864 + 20_500 + 4_719_104 + 2_048 + 2_052
    assert model.get_layer("features").output.shape == (None, 7, 7, 1024)
    assert {"dense_class", "class_prediction", "bbox_prediction"} <= {layer.name for layer in model.layers}
    assert model.get_layer("dense_class").kernel_regularizer.l2 == pytest.approx(0.01)
    assert {name: output.shape for name, output in model.output.items()} == {
        "class_prediction": (None, 20),
        "bbox_prediction": (None, 4),
    }


@pytest.mark.slow
def test_the_first_stage_trains_what_the_second_one_has() -> None:
    model = small_model()
    classifier = part("classifier", model, SMALL).model
    assert classifier.get_layer("dense_class") is model.get_layer("dense_class")
    first = {weight.path for weight in classifier.trainable_weights}
    assert any("conv1" in path for path in first)
    assert not any("bbox" in path for path in first)
    second = {weight.path for weight in part("boxes", model, SMALL).model.trainable_weights}
    assert not any("conv1" in path for path in second)
    assert any("dense_class" in path for path in second)
    assert any("bbox_prediction" in path for path in second)


@pytest.mark.slow
def test_frozen_batch_norm_stays_still_even_while_training() -> None:
    model = small_model()
    boxes = part("boxes", model, SMALL)
    backbone = model.get_layer("backbone")
    images = np.random.default_rng(1).uniform(-1, 1, (4, 64, 64, 3)).astype(np.float32)
    before, weights = np.asarray(backbone(images, training=True)), backbone.get_weights()
    model.compile(keras.optimizers.Adam(0.01), **boxes.compile_arguments)
    targets = {"class_prediction": np.zeros((4, 1), int), "bbox_prediction": np.full((4, 4), 0.5, np.float32)}
    model.fit(images * 127, targets, epochs=2, verbose=0)
    for was, now in zip(weights, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    np.testing.assert_allclose(np.asarray(backbone(images, training=True)), before, atol=1e-6)


@pytest.mark.slow
def test_the_loss_by_hand() -> None:
    """Cross-entropy, ten times the mean squared error, and the penalty on the class weights."""
    keras.utils.set_random_seed(4)
    model = build_model(ModelConfig(dropout=0.7, class_l2=0.01, box_filters=8), EVERY, 64, 3, 4, sample("small"))
    model.compile("adam", **part("boxes", model, PUBLISHED).compile_arguments)
    images = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3)).astype(np.float32)
    labels, sides = np.array([[1], [0], [3]]), np.array([[0.1, 0.4, 0.2, 0.9]] * 3, np.float32)
    answers = model.predict_on_batch(images)
    entropy = -np.log(answers["class_prediction"][np.arange(3), labels[:, 0]]).mean()
    squared = ((answers["bbox_prediction"] - sides) ** 2).mean()
    penalty = 0.01 * (np.asarray(model.get_layer("dense_class").kernel) ** 2).sum()
    targets = {"class_prediction": labels, "bbox_prediction": sides}
    found = model.evaluate(images, targets, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(entropy + 10 * squared + penalty, rel=1e-4)
    corners = [0, 2, 1, 3]
    overlaps = paired_iou(answers["bbox_prediction"][:, corners], sides[:, corners])
    assert found["bbox_prediction_mean_iou"] == pytest.approx(overlaps.mean(), abs=1e-6)


@pytest.mark.slow
def test_a_few_steps_on_four_images_overfit_them() -> None:
    keras.utils.set_random_seed(6)
    images = np.random.default_rng(6).integers(0, 60, (4, 64, 64, 3)).astype(np.float32)
    sides_pixels = np.array([[4, 40, 10, 30], [20, 60, 30, 60], [0, 20, 40, 64], [30, 50, 2, 20]])
    for image, (left, right, top, bottom), channel in zip(images, sides_pixels, [0, 1, 2, 0], strict=True):
        image[top:bottom, left:right, channel] = 255
    targets = {
        "class_prediction": np.array([[0], [1], [2], [3]]),
        "bbox_prediction": (sides_pixels / 64).astype(np.float32),
    }
    model = small_model()
    for name in ("classifier", "boxes"):
        fitted = part(name, model, SMALL)
        fitted.model.compile(keras.optimizers.Adam(3e-3), **fitted.compile_arguments)
        wanted = {output: targets[output] for output in fitted.model.output_names}
        history = fitted.model.fit(images, wanted, batch_size=4, epochs=100, verbose=0).history
    assert history["loss"][-1] < 0.05 * history["loss"][0]
