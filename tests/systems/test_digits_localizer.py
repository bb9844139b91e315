import keras
import numpy as np
import pytest

from pipeline.geometry.boxes import paired_iou
from pipeline.systems.digits_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.digits_localizer.model import build_model, part
from pipeline.systems.digits_localizer.targets import (
    as_outputs,
    class_probabilities,
    decode,
    encode,
    examples,
    label_to_category_id,
)
from pipeline.training.feature_cache import split_at
from tests.support.scenes import truth

PUBLISHED = ModelConfig(filters=(32, 32, 64), box_units=(64, 32), dropout=0.3)


def published_model() -> keras.Model:
    return build_model(PUBLISHED, TargetsConfig(), image_size=100, channels=1, num_labels=10, pretrained=None)


def test_a_box_becomes_corners_and_comes_back() -> None:
    targets = encode(truth([0.2, 0.53, 0.28, 0.25], [7]), TargetsConfig())
    assert targets["label"].tolist() == [7]
    assert targets["bbox"].tolist() == pytest.approx([0.2, 0.53, 0.48, 0.78])
    decoded = decode(as_outputs({name: array[None] for name, array in targets.items()}, num_labels=10))
    assert decoded.labels.tolist() == [7]
    assert decoded.scores.tolist() == [1]
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx([0.2, 0.53, 0.28, 0.25])


def test_the_most_probable_class_is_the_answer() -> None:
    outputs = {"label": np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]), "bbox": np.array([[0, 0, 1, 1], [0, 0, 1, 1]])}
    decoded = decode(outputs)
    assert decoded.rows.tolist() == [0, 1]
    assert decoded.labels.tolist() == [1, 0]
    assert decoded.scores.tolist() == [0.5, 0.6]
    assert class_probabilities(outputs).tolist() == outputs["label"].tolist()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("num_boxes", "num_examples"), [(0, 0), (1, 1), (2, 0)])
def test_only_images_with_one_box_have_one_answer(num_boxes: int, num_examples: int, training: bool) -> None:
    assert len(examples(truth(np.ones((num_boxes, 4))), TargetsConfig(), training=training)) == num_examples


@pytest.mark.parametrize("training", [True, False])
def test_a_crowd_region_is_no_answer(training: bool) -> None:
    crowd_and_box = truth([[0, 0, 0.9, 0.9], [0.2, 0.5, 0.3, 0.25]], crowds=[0])
    assert [rows.tolist() for rows in examples(crowd_and_box, TargetsConfig(), training=training)] == [[1]]
    assert examples(crowd_and_box[np.array([0])], TargetsConfig(), training=training) == []


def test_labels_count_the_categories_without_gaps() -> None:
    assert label_to_category_id([3, 1, 9]).tolist() == [1, 3, 9]


@pytest.mark.slow
def test_the_published_model() -> None:
    model = published_model()
    assert model.count_params() == 35_086
    assert {name: output.shape for name, output in model.output.items()} == {"label": (None, 10), "bbox": (None, 4)}
    assert {"label", "bbox"} <= {layer.name for layer in model.layers}
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.3]


@pytest.mark.slow
def test_a_deeper_box_head() -> None:
    deeper = ModelConfig(filters=(32, 32, 64), box_units=(64, 64, 32, 16), dropout=0.3)
    model = build_model(deeper, TargetsConfig(), image_size=100, channels=1, num_labels=10, pretrained=None)
    units = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert sorted(units) == [4, 10, 16, 32, 64, 64]
    # One more layer of 64 units, one of 16; the last four units then see 16 numbers instead of 32.
    assert model.count_params() == 35_086 + 65 * 64 + 33 * 16 - 16 * 4


@pytest.mark.slow
def test_the_phase_of_boxes_changes_the_box_head_and_nothing_else() -> None:
    model = build_model(
        ModelConfig(filters=(4, 4, 4), box_units=(8, 6), dropout=0.3),
        TargetsConfig(),
        40,
        channels=1,
        num_labels=10,
        pretrained=None,
    )
    before = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    fitted = part("boxes", model, PUBLISHED)
    assert fitted.cut is not None
    frozen, heads = split_at(fitted.model, fitted.cut)
    heads.compile(keras.optimizers.Adam(0.01), **fitted.compile_arguments)
    features = frozen.predict_on_batch(np.random.default_rng(1).integers(0, 256, (4, 40, 40, 1)).astype(np.uint8))
    corners = np.array([[0.1, 0.2, 0.4, 0.6]] * 4, np.float32)
    targets = {"label": np.array([[4], [0], [9], [2]]), "bbox": corners}
    squared_error = ((heads.predict_on_batch(features)["bbox"] - corners) ** 2).mean()
    assert heads.evaluate(features, targets, verbose=0, return_dict=True)["loss"] == pytest.approx(squared_error)
    found = heads.fit(features, targets, epochs=3, verbose=0).history
    assert {"label_accuracy", "bbox_mean_iou_xyxy"} <= set(found)
    changed = {
        name
        for name, weights in before.items()
        if not all(map(np.array_equal, weights, model.get_layer(name).get_weights()))
    }
    assert changed == {"bbox", "bbox_1", "bbox_2"}
    part("all", model, PUBLISHED)
    assert len(model.trainable_weights) == len(model.weights) == 14


@pytest.mark.slow
def test_the_loss_by_hand() -> None:
    """Cross-entropy of the class plus the mean squared error of four corners, weighted alike."""
    model = published_model()
    model.compile("adam", **part("all", model, PUBLISHED).compile_arguments)
    images = np.random.default_rng(1).integers(0, 256, (3, 100, 100, 1)).astype(np.float32)
    labels, corners = np.array([[4], [0], [9]]), np.array([[0.1, 0.2, 0.4, 0.6]] * 3, np.float32)
    answers = model.predict_on_batch(images)
    cross_entropy = -np.log(answers["label"][np.arange(3), labels[:, 0]]).mean()
    squared_error = ((answers["bbox"] - corners) ** 2).mean()
    losses = model.evaluate(images, {"label": labels, "bbox": corners}, verbose=0, return_dict=True)
    assert losses["loss"] == pytest.approx(cross_entropy + squared_error, rel=1e-4)
    overlaps = paired_iou(answers["bbox"], corners)
    assert losses["bbox_mean_iou_xyxy"] == pytest.approx(overlaps.mean(), abs=1e-6)
    right = answers["label"].argmax(axis=1) == labels[:, 0]
    assert losses["label_accuracy"] == pytest.approx(right.mean())


@pytest.mark.slow
def test_a_few_steps_on_four_images_overfit_them() -> None:
    keras.utils.set_random_seed(5)
    images = np.zeros((4, 100, 100, 1), np.float32)
    for index in range(4):
        images[index, 20 * index : 20 * index + 28, 10 + 15 * index : 38 + 15 * index] = 60 * index + 60
    labels = np.arange(4)[:, None]
    corners = np.array([[0.1 + 0.15 * i, 0.2 * i, 0.38 + 0.15 * i, 0.2 * i + 0.28] for i in range(4)], np.float32)
    model = build_model(
        ModelConfig(filters=(32, 32, 64), box_units=(64, 32), dropout=0.0),
        TargetsConfig(),
        image_size=100,
        channels=1,
        num_labels=10,
        pretrained=None,
    )
    model.compile(keras.optimizers.Adam(3e-3), **part("all", model, PUBLISHED).compile_arguments)
    losses = model.fit(images, {"label": labels, "bbox": corners}, batch_size=4, epochs=150, verbose=0).history["loss"]
    assert losses[-1] < 0.05 * losses[0]
