import keras
import numpy as np
import pytest

from pipeline.geometry.boxes import paired_iou
from pipeline.pretrained.mobilenet import MobileNetWeights
from pipeline.systems.common.interfaces import ModelShape
from pipeline.systems.snack_localizer.config import ModelConfig, TargetsConfig
from pipeline.systems.snack_localizer.model import SnackLocalizerFactory
from pipeline.systems.snack_localizer.targets import SnackCodec
from tests.support.codecs import example_rows, round_trip
from tests.support.scenes import ground_truth

CODEC, FACTORY = SnackCodec(), SnackLocalizerFactory()
PUBLISHED = ModelConfig(dropout=0.7, class_l2=0.01, box_filters=512)
SMALL = ModelConfig(dropout=0.0, class_l2=0.0, box_filters=32)
PER_BOX, MEDOID = TargetsConfig(examples="per_box"), TargetsConfig(examples="medoid")

# The second box overlaps both others; the first and the third are disjoint.
THREE_BOXES = np.array([[0.1, 0.1, 0.3, 0.2], [0.2, 0.1, 0.3, 0.2], [0.4, 0.1, 0.3, 0.2]])


def build(config: ModelConfig, size: int = 64, num_labels: int = 4, scale: str = "small") -> keras.Model:
    return FACTORY.build_model(config, PER_BOX, ModelShape(size, 3, num_labels), MobileNetWeights().random_init(scale))


def test_coordinates_have_the_order_of_the_published_csv() -> None:
    targets = CODEC.encode(ground_truth([0.1, 0.25, 0.5, 0.625], [7]), PER_BOX)
    assert targets["bbox_prediction"].tolist() == pytest.approx([0.1, 0.6, 0.25, 0.875])
    assert targets["class_prediction"].tolist() == [7]


def test_round_trip() -> None:
    decoded = round_trip(CODEC, ground_truth([0.1, 0.25, 0.5, 0.625], [7]), PER_BOX, num_labels=20)
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx([0.1, 0.25, 0.5, 0.625])
    assert (decoded.labels.tolist(), decoded.scores.tolist()) == ([7], [1.0])


def test_inverted_prediction_stays_inverted() -> None:
    outputs = {"class_prediction": np.array([[0.2, 0.8]]), "bbox_prediction": np.array([[0.6, 0.1, 0.2, 0.3]])}
    [decoded] = CODEC.decode(outputs)
    assert decoded.boxes_rel_xywh[0].tolist() == pytest.approx([0.6, 0.2, -0.5, 0.1])


def test_every_box_is_an_example() -> None:
    assert example_rows(CODEC, ground_truth(THREE_BOXES), PER_BOX) == [[0], [1], [2]]


@pytest.mark.parametrize(("targets", "training"), [(MEDOID, True), (MEDOID, False), (PER_BOX, False)])
def test_medoid_box_is_the_only_example(targets: TargetsConfig, training: bool) -> None:
    assert example_rows(CODEC, ground_truth(THREE_BOXES), targets, training=training) == [[1]]


def test_image_without_boxes_has_no_example() -> None:
    assert example_rows(CODEC, ground_truth([]), PER_BOX) == []
    assert example_rows(CODEC, ground_truth([]), MEDOID, training=False) == []


def test_crowd_regions_are_not_selected() -> None:
    boxes = ground_truth(THREE_BOXES, crowds=[1])
    assert example_rows(CODEC, boxes, PER_BOX) == [[0], [2]]
    assert example_rows(CODEC, boxes, MEDOID) == [
        [0]
    ]  # the other two do not overlap; of equal boxes the first is selected
    assert example_rows(CODEC, ground_truth(THREE_BOXES, crowds=[0, 1, 2]), PER_BOX, training=False) == []


def test_labels_are_contiguous() -> None:
    assert CODEC.label_to_category_id([3, 1, 9]).tolist() == [1, 3, 9]


@pytest.mark.slow
def test_published_model() -> None:
    model = build(PUBLISHED, 224, 20, "published")
    # MobileNet 3,228,864; class head 1024 x 20 + 20; box head 9 x 1024 x 512 + 512, normalization 4 x 512, 512 x 4 + 4
    assert model.count_params() == 3_228_864 + 20_500 + 4_719_104 + 2_048 + 2_052
    assert model.get_layer("features").output.shape == (None, 7, 7, 1024)
    assert {"dense_class", "class_prediction", "bbox_prediction"} <= {layer.name for layer in model.layers}
    assert model.get_layer("dense_class").kernel_regularizer.l2 == pytest.approx(0.01)
    assert {name: output.shape for name, output in model.output.items()} == {
        "class_prediction": (None, 20),
        "bbox_prediction": (None, 4),
    }


@pytest.mark.slow
def test_both_phases_share_the_class_head() -> None:
    model = build(SMALL)
    classifier = FACTORY.phase_model("classifier", model, SMALL).model
    assert classifier.get_layer("dense_class") is model.get_layer("dense_class")
    first = {weight.path for weight in classifier.trainable_weights}
    assert any("conv1" in path for path in first)
    assert not any("bbox" in path for path in first)
    second = {weight.path for weight in FACTORY.phase_model("boxes", model, SMALL).model.trainable_weights}
    assert not any("conv1" in path for path in second)
    assert any("dense_class" in path for path in second)
    assert any("bbox_prediction" in path for path in second)


@pytest.mark.slow
def test_frozen_batch_normalization_does_not_change_in_training() -> None:
    model = build(SMALL)
    phase = FACTORY.phase_model("boxes", model, SMALL)
    backbone = model.get_layer("backbone")
    images = np.random.default_rng(1).uniform(-1, 1, (4, 64, 64, 3)).astype(np.float32)
    before, weights = np.asarray(backbone(images, training=True)), backbone.get_weights()
    model.compile(keras.optimizers.Adam(0.01), **phase.compile_arguments)
    targets = {"class_prediction": np.zeros((4, 1), int), "bbox_prediction": np.full((4, 4), 0.5, np.float32)}
    model.fit(images * 127, targets, epochs=2, verbose=0)
    for was, now in zip(weights, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    np.testing.assert_allclose(np.asarray(backbone(images, training=True)), before, atol=1e-6)


@pytest.mark.slow
def test_loss_by_hand() -> None:
    """Cross-entropy, ten times the mean squared error, and the L2 penalty on the class weights."""
    keras.utils.set_random_seed(4)
    model = build(ModelConfig(dropout=0.7, class_l2=0.01, box_filters=8))
    model.compile("adam", **FACTORY.phase_model("boxes", model, PUBLISHED).compile_arguments)
    images = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3)).astype(np.float32)
    labels, sides = np.array([[1], [0], [3]]), np.array([[0.1, 0.4, 0.2, 0.9]] * 3, np.float32)
    outputs = model.predict_on_batch(images)
    entropy = -np.log(outputs["class_prediction"][np.arange(3), labels[:, 0]]).mean()
    squared = ((outputs["bbox_prediction"] - sides) ** 2).mean()
    penalty = 0.01 * (np.asarray(model.get_layer("dense_class").kernel) ** 2).sum()
    targets = {"class_prediction": labels, "bbox_prediction": sides}
    values = model.evaluate(images, targets, verbose=0, return_dict=True)
    assert values["loss"] == pytest.approx(entropy + 10 * squared + penalty, rel=1e-4)
    corners = [0, 2, 1, 3]
    overlaps = paired_iou(outputs["bbox_prediction"][:, corners], sides[:, corners])
    assert values["bbox_prediction_mean_iou"] == pytest.approx(overlaps.mean(), abs=1e-6)
    # The class alone, in the first phase: the same quantities under the same names.
    phase = FACTORY.phase_model("classifier", model, PUBLISHED)
    phase.model.compile("adam", **phase.compile_arguments)
    targets = {"class_prediction": labels}
    alone = phase.model.evaluate(images, targets, verbose=0, return_dict=True)
    assert set(alone) == {"loss", "class_prediction_loss", "class_prediction_accuracy"} < set(values)
    assert alone["class_prediction_loss"] == pytest.approx(entropy, rel=1e-5)
    assert alone["class_prediction_accuracy"] == values["class_prediction_accuracy"]
    assert alone["loss"] == pytest.approx(entropy + penalty, rel=1e-5)


@pytest.mark.slow
def test_model_overfits_four_images() -> None:
    keras.utils.set_random_seed(6)
    images = np.random.default_rng(6).integers(0, 60, (4, 64, 64, 3)).astype(np.float32)
    sides_pixels = np.array([[4, 40, 10, 30], [20, 60, 30, 60], [0, 20, 40, 64], [30, 50, 2, 20]])
    for image, (left, right, top, bottom), channel in zip(images, sides_pixels, [0, 1, 2, 0], strict=True):
        image[top:bottom, left:right, channel] = 255
    targets = {
        "class_prediction": np.array([[0], [1], [2], [3]]),
        "bbox_prediction": (sides_pixels / 64).astype(np.float32),
    }
    model = build(SMALL)
    for name in ("classifier", "boxes"):
        phase = FACTORY.phase_model(name, model, SMALL)
        phase.model.compile(keras.optimizers.Adam(3e-3), **phase.compile_arguments)
        phase_targets = {output: targets[output] for output in phase.model.output_names}
        history = phase.model.fit(images, phase_targets, batch_size=4, epochs=100, verbose=0).history
    assert history["loss"][-1] < 0.05 * history["loss"][0]
