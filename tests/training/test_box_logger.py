"""The logger's numbers by hand, its state across a restart, and a real training."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.geometry.labeled_boxes import LabeledBoxes, one_per_image
from pipeline.inference.predictor import Predictor
from pipeline.systems.common.interfaces import NamedArrays
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.model_metadata import ModelMetadata
from pipeline.training.box_logger import MAX_BOXES, BoxLogger, box_set, logged_prediction
from pipeline.training.progress_page import Box, Epoch

NAMES = ["nothing", "cat", ""]
MODEL_INPUTS = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
GROUND_TRUTH = [
    LabeledBoxes(np.array([[0.1, 0.2, 0.4, 0.5], [0.6, 0.1, 0.3, 0.2]]), np.array([1, 2])),
    LabeledBoxes(np.array([[0.25, 0.0, 0.5, 0.125]]), np.array([2])),
]
TRUE_XYXY = np.array([[0.1, 0.2, 0.5, 0.7], [0.6, 0.1, 0.9, 0.3]])


def predicted(*rows: tuple[float, float, float, float, int, float]) -> LabeledBoxes:
    """Predicted boxes from rows of xywh, label, score."""
    table = np.array(rows, float).reshape(-1, 6)
    return LabeledBoxes(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])


class FakeModel:
    """Predicts one box per image, which moves right by a tenth in every call."""

    def __init__(self) -> None:
        self.batches: list[np.ndarray] = []

    def predict_on_batch(self, model_inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.batches.append(model_inputs)
        boxes = np.array([[0.3, 0.2, 0.4, 0.25], [0.25, 0.0, 0.5, 0.25]], np.float32)
        boxes[:, 0] += np.float32(0.1 * (len(self.batches) - 1))
        return {"bbox": boxes, "score": np.array([[0.875], [0.5]], np.float32)}


def decode(outputs: NamedArrays) -> list[LabeledBoxes]:
    count = len(outputs["bbox"])
    return one_per_image(outputs["bbox"].astype(float), np.full(count, 1), outputs["score"][:, 0].astype(float))


class FakeCodec:
    """Decodes with a function."""

    def __init__(self, decode: Callable[[NamedArrays], list[LabeledBoxes]]) -> None:
        self.decode = decode


def make_logger(
    page: Path,
    model: Any = None,
    decode: Callable[[NamedArrays], list[LabeledBoxes]] = decode,
    model_inputs: np.ndarray = MODEL_INPUTS,
    ground_truth: list[LabeledBoxes] = GROUND_TRUTH,
    run: Any = None,
) -> BoxLogger:
    labels = Labels(np.array([0, 3, 7], np.int32), NAMES)
    metadata = ModelMetadata(module="coco_yolo", image_size=8, channels=3, resize="letterbox")
    codec: Any = FakeCodec(decode)
    predictor = Predictor(model or FakeModel(), codec, labels, metadata)
    return BoxLogger(model_inputs, ground_truth, predictor, page, "boxes", run=run)


def epochs_of(logger: BoxLogger) -> list[dict[str, Any]]:
    return logger.state()["epochs"]


def test_prediction_has_its_highest_iou_with_any_object() -> None:
    logged = logged_prediction(predicted((0.3, 0.2, 0.4, 0.25, 1, 0.87)), TRUE_XYXY, MAX_BOXES)
    # Intersection 0.2 x 0.25, union 0.2 + 0.1 - 0.05: IoU 0.2. With the second object: 0.01 / 0.15.
    assert logged.boxes == [Box(0.3, 0.2, 0.7, 0.45, 1, 0.87, 0.2)]


def test_iou_ignores_the_class() -> None:
    logged = logged_prediction(predicted((0.6, 0.1, 0.3, 0.2, 1, 0.5)), TRUE_XYXY, MAX_BOXES)
    assert [box.iou for box in logged.boxes] == [1.0]


def test_iou_is_0_without_objects() -> None:
    logged = logged_prediction(predicted((0.6, 0.1, 0.3, 0.2, 1, 0.5)), np.empty((0, 4)), MAX_BOXES)
    assert [box.iou for box in logged.boxes] == [0.0]


def test_highest_scores_are_kept_and_the_others_counted() -> None:
    scores = [0.1, 0.7, 0.3, 0.7, 0.2]
    logged = logged_prediction(predicted(*[(0.1 * i, 0, 0.5, 0.5, i, s) for i, s in enumerate(scores)]), TRUE_XYXY, 3)
    assert [(box.label, box.score) for box in logged.boxes] == [(1, 0.7), (3, 0.7), (2, 0.3)]
    assert (logged.omitted, logged.invalid) == (2, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", [0, 1, 2, 3, 5])
def test_box_with_a_value_that_is_not_finite_is_dropped(bad: float, column: int) -> None:
    broken = [0.1, 0.2, 0.3, 0.4, 2, 0.99]
    broken[column] = bad
    logged = logged_prediction(predicted(tuple(broken), (0.5, 0.25, 0.25, 0.5, 1, 0.5)), TRUE_XYXY, 1)  # type: ignore[arg-type]
    assert [box.label for box in logged.boxes] == [1]
    assert (logged.omitted, logged.invalid) == (0, 1)


def test_page_is_written_without_any_finite_prediction(tmp_path: Path) -> None:
    def decode_nan(_: NamedArrays) -> list[LabeledBoxes]:
        return one_per_image(np.full((2, 4), np.nan), np.ones(2, int), np.array([np.nan, 0.5]))

    logger = make_logger(tmp_path / "page.html", decode=decode_nan)
    logger.on_epoch_end(0, {"loss": math.inf})
    json.dumps(logger.state(), allow_nan=False)
    assert epochs_of(logger) == [
        {"phase": None, "logs": {"loss": None}, "predictions": [{"boxes": [], "omitted": 0, "invalid": 1}] * 2}
    ]
    assert (tmp_path / "page.html").exists()


def test_boxes_without_area_are_dropped_and_boxes_over_the_edge_kept() -> None:
    rows = [(0.5, 0.5, -0.25, 0.25, 1, 0.9), (0.5, 0.5, 0.25, 0.0, 1, 0.8), (-0.25, 0.5, 2.0, 0.75, 1, 0.7)]
    logged = logged_prediction(predicted(*rows), TRUE_XYXY, MAX_BOXES)
    assert [box.score for box in logged.boxes] == [0.7]
    assert (logged.boxes[0].min_x, logged.boxes[0].max_x, logged.boxes[0].max_y) == (-0.25, 1.75, 1.25)
    assert logged.invalid == 2


def test_box_set_has_python_numbers_in_wandbs_format() -> None:
    [box] = logged_prediction(predicted((0.3, 0.2, 0.4, 0.25, 1, 0.87)), TRUE_XYXY, MAX_BOXES).boxes
    assert box_set([box, Box(0.25, 0.0, 0.75, 0.125, 2)], NAMES) == {
        "box_data": [
            {
                "position": {"minX": 0.3, "maxX": 0.7, "minY": 0.2, "maxY": 0.45},
                "class_id": 1,
                "box_caption": "cat 0.87 · IoU 0.20",
                "scores": {"score": 0.87, "iou": 0.2},
            },
            {
                "position": {"minX": 0.25, "maxX": 0.75, "minY": 0.0, "maxY": 0.125},
                "class_id": 2,
                "box_caption": "label 2",
            },
        ],
        "class_labels": {0: "nothing", 1: "cat", 2: "label 2"},
    }
    assert [type(value) for value in (box.min_x, box.max_y, box.label, box.score, box.iou)] == [
        float,
        float,
        int,
        float,
        float,
    ]


def test_model_predicts_once_before_the_training_and_in_each_epoch(tmp_path: Path) -> None:
    model = FakeModel()
    logger = make_logger(tmp_path / "page.html", model)
    logger.on_train_begin()
    assert (tmp_path / "page.html").exists()
    for epoch in range(2):
        logger.on_epoch_end(epoch, {"loss": 1.0})
    logger.on_train_begin()  # of the second phase
    assert [(epoch["phase"], epoch["logs"]) for epoch in epochs_of(logger)] == [(None, {})] + 2 * [
        (None, {"loss": 1.0})
    ]
    assert len(model.batches) == 3
    for batch in model.batches:
        np.testing.assert_array_equal(batch, MODEL_INPUTS)
    [left] = {tuple(epoch["predictions"][1]["boxes"][0][1:]) for epoch in epochs_of(logger)[:1]}
    assert left == (0.0, 0.75, 0.25, 1, 0.5, 0.5)
    assert [epoch["predictions"][0]["boxes"][0][0] for epoch in epochs_of(logger)] == [0.3, 0.4, 0.5]


def test_epochs_are_numbered_over_all_phases(tmp_path: Path) -> None:
    logger = make_logger(tmp_path / "page.html")
    logger.phase = "head"
    logger.on_epoch_end(0, {"loss": 3.0})
    logger.on_epoch_end(1, {"loss": 2.0})
    logger.phase = "all layers"
    logger.on_epoch_end(0, {"loss": np.float32(1.5), "val_loss": math.nan})
    assert [(epoch["phase"], epoch["logs"]) for epoch in epochs_of(logger)] == [
        ("head", {"loss": 3.0}),
        ("head", {"loss": 2.0}),
        ("all layers", {"loss": 1.5, "val_loss": None}),
    ]


def test_restart_continues_state_and_page(tmp_path: Path) -> None:
    whole, first, second = (tmp_path / name / "page.html" for name in ("whole", "first", "second"))
    model = FakeModel()
    logger = make_logger(whole, model)
    logger.on_train_begin()
    for epoch in range(5):
        logger.on_epoch_end(epoch, {"loss": 1 / (epoch + 3)})
    before = make_logger(first, interrupted := FakeModel())
    before.on_train_begin()
    for epoch in range(3):
        before.on_epoch_end(epoch, {"loss": 1 / (epoch + 3)})
    after = make_logger(second, interrupted)
    after.restore(json.loads(json.dumps(before.state(), allow_nan=False)))
    assert second.read_bytes() == first.read_bytes()
    after.on_train_begin()
    for epoch in (3, 4):
        after.on_epoch_end(epoch, {"loss": 1 / (epoch + 3)})
    assert second.read_bytes() == whole.read_bytes()
    assert after.state() == logger.state()


def test_state_is_a_copy(tmp_path: Path) -> None:
    logger = make_logger(tmp_path / "page.html")
    logger.on_epoch_end(0, {"loss": 1.0})
    state = logger.state()
    logger.on_epoch_end(1, {"loss": 0.5})
    assert len(state["epochs"]) == 1


def test_restoring_an_empty_state_writes_no_page(tmp_path: Path) -> None:
    logger = make_logger(tmp_path / "page.html")
    logger.restore(logger.state())
    assert list(tmp_path.iterdir()) == []


def test_state_of_other_images_is_rejected(tmp_path: Path) -> None:
    logger = make_logger(tmp_path / "page.html")
    logger.on_epoch_end(0, {"loss": 1.0})
    other = make_logger(tmp_path / "other.html", model_inputs=MODEL_INPUTS[:1], ground_truth=GROUND_TRUTH[:1])
    with pytest.raises(BoxlineError) as raised:
        other.restore(logger.state())
    assert str(raised.value) == (
        "The checkpoint holds predictions for 2 logged images, expected 1. "
        "Remove the checkpoint of this training to start from scratch."
    )


def localizer() -> tuple[keras.Model, keras.Model]:
    """A model and its head, which has random dropout, and batch normalization with moving averages."""
    image = keras.layers.Input((8, 8, 3))
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    backbone = keras.Model(image, features)
    head_input = keras.layers.Input((192,))
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(head_input))
    outputs = {
        "bbox": keras.layers.Dense(4, "sigmoid", name="bbox")(x),
        "score": keras.layers.Dense(1, "sigmoid", name="score")(x),
    }
    head = keras.Model(head_input, outputs)
    return keras.Model(image, head(backbone(image))), head


def train_head(page: Path | None) -> tuple[keras.Model, BoxLogger | None]:
    keras.utils.set_random_seed(3)
    whole, head = localizer()
    head.compile(keras.optimizers.SGD(0.1), loss="mean_squared_error")
    logger = None if page is None else make_logger(page, whole)
    features = np.random.default_rng(5).random((6, 192), np.float32)
    targets = {"bbox": np.full((6, 4), 0.4, np.float32), "score": np.ones((6, 1), np.float32)}
    callbacks = [] if logger is None else [logger]
    head.fit(features, targets, batch_size=2, epochs=2, validation_split=0.34, verbose=0, callbacks=callbacks)
    return whole, logger


@pytest.mark.slow
def test_whole_model_predicts_while_its_head_is_trained(tmp_path: Path) -> None:
    whole, logger = train_head(tmp_path / "page.html")
    assert logger is not None
    untrained, first, last = epochs_of(logger)
    assert untrained["logs"] == {}
    assert untrained["predictions"] != first["predictions"]
    assert set(last["logs"]) == {"loss", "val_loss"} | set(first["logs"])
    assert last["logs"]["loss"] < first["logs"]["loss"]
    assert first["predictions"] != last["predictions"]
    x, y, width, height = np.asarray(whole.predict_on_batch(MODEL_INPUTS)["bbox"], float)[1]
    assert last["predictions"][1]["boxes"][0][:4] == pytest.approx([x, y, x + width, y + height], abs=1e-5)
    assert (tmp_path / "page.html").exists()


@pytest.mark.slow
def test_logging_does_not_change_the_weights(tmp_path: Path) -> None:
    logged, _ = train_head(tmp_path / "page.html")
    plain, _ = train_head(None)
    for one, other in zip(logged.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_size_of_the_page_is_bounded(tmp_path: Path) -> None:
    """At most 70 bytes per box and epoch, as progress_page.py documents."""
    rows = [(0.12345 + i / 999, 0.54321, 0.33333, 0.22222, 1, 0.98765 - i / 999) for i in range(200)]

    def decode_many(_: NamedArrays) -> list[LabeledBoxes]:
        return [predicted(*rows), predicted()]

    logger = make_logger(tmp_path / "page.html", decode=decode_many)
    logger.on_epoch_end(0, {})
    before = (tmp_path / "page.html").stat().st_size
    logger.on_epoch_end(1, {})
    assert len(epochs_of(logger)[1]["predictions"][0]["boxes"]) == MAX_BOXES
    assert epochs_of(logger)[1]["predictions"][0]["omitted"] == 200 - MAX_BOXES
    assert (tmp_path / "page.html").stat().st_size - before < len(MODEL_INPUTS) * MAX_BOXES * 70


def test_epoch_has_the_keys_that_the_page_reads(tmp_path: Path) -> None:
    logger = make_logger(tmp_path / "page.html")
    logger.on_epoch_end(0, {"loss": 1.0})
    assert set(epochs_of(logger)[0]) == set(Epoch.__struct_fields__) == {"phase", "logs", "predictions"}
