"""The logger's numbers by hand, its memory over a restart, and a real training."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.interfaces import Decoded
from pipeline.training.bbox_logger import MAX_BOXES, BBoxLogger, answer_of, box_set
from pipeline.training.progress_page import Box, Epoch

NAMES = ["nothing", "cat", ""]
SQUARES = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
TRUTH = [
    LabeledBoxes(np.array([[0.1, 0.2, 0.4, 0.5], [0.6, 0.1, 0.3, 0.2]]), np.array([1, 2])),
    LabeledBoxes(np.array([[0.25, 0.0, 0.5, 0.125]]), np.array([2])),
]
TRUE_XYXY = np.array([[0.1, 0.2, 0.5, 0.7], [0.6, 0.1, 0.9, 0.3]])


def labeled_boxes(*rows: tuple[float, float, float, float, int, float]) -> LabeledBoxes:
    """From rows of xywh, label, score."""
    table = np.array(rows, float).reshape(-1, 6)
    return LabeledBoxes(table[:, :4], table[:, 4].astype(np.int64), table[:, 5])


class Answers:
    """Stands in for a model: its k-th answer is one box per image, moved to the right by k tenths."""

    def __init__(self) -> None:
        self.asked: list[np.ndarray] = []

    def predict_on_batch(self, model_inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.asked.append(model_inputs)
        boxes = np.array([[0.3, 0.2, 0.4, 0.25], [0.25, 0.0, 0.5, 0.25]], np.float32)
        boxes[:, 0] += np.float32(0.1 * (len(self.asked) - 1))
        return {"bbox": boxes, "score": np.array([0.875, 0.5], np.float32)}


def decode(outputs: Mapping[str, np.ndarray]) -> Decoded:
    count = len(outputs["bbox"])
    return Decoded(np.arange(count), outputs["bbox"].astype(float), np.full(count, 1), outputs["score"].astype(float))


def logger(page: Path, model: Any = None, **changes: Any) -> BBoxLogger:
    settings: dict[str, Any] = {"squares": SQUARES, "truth": TRUTH, "decode": decode, "names": NAMES, "title": "boxes"}
    return BBoxLogger(**settings | changes, page=page, model=model or Answers())


def epochs_of(watch: BBoxLogger) -> list[dict[str, Any]]:
    return watch.state()["epochs"]


def test_a_prediction_has_its_best_overlap_with_any_true_box() -> None:
    answer = answer_of(labeled_boxes((0.3, 0.2, 0.4, 0.25, 1, 0.87)), TRUE_XYXY, MAX_BOXES)
    # 0.2 x 0.25 shared of 0.2 + 0.1 - 0.05 is 0.2; with the second true box it is 0.01 of 0.15.
    assert answer.boxes == [Box(0.3, 0.2, 0.7, 0.45, 1, 0.87, 0.2)]


def test_a_class_does_not_matter_for_the_overlap() -> None:
    answer = answer_of(labeled_boxes((0.6, 0.1, 0.3, 0.2, 1, 0.5)), TRUE_XYXY, MAX_BOXES)
    assert [box.iou for box in answer.boxes] == [1.0]


def test_where_there_is_no_true_box_nothing_overlaps() -> None:
    answer = answer_of(labeled_boxes((0.6, 0.1, 0.3, 0.2, 1, 0.5)), np.empty((0, 4)), MAX_BOXES)
    assert [box.iou for box in answer.boxes] == [0.0]


def test_the_best_scores_are_kept_and_the_rest_is_counted() -> None:
    scores = [0.1, 0.7, 0.3, 0.7, 0.2]
    answer = answer_of(labeled_boxes(*[(0.1 * i, 0, 0.5, 0.5, i, s) for i, s in enumerate(scores)]), TRUE_XYXY, 3)
    assert [(box.label, box.score) for box in answer.boxes] == [(1, 0.7), (3, 0.7), (2, 0.3)]
    assert (answer.omitted, answer.invalid) == (2, 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", [0, 1, 2, 3, 5])
def test_a_number_that_is_not_finite_leaves_its_box_out(bad: float, column: int) -> None:
    broken = [0.1, 0.2, 0.3, 0.4, 2, 0.99]
    broken[column] = bad
    answer = answer_of(labeled_boxes(tuple(broken), (0.5, 0.25, 0.25, 0.5, 1, 0.5)), TRUE_XYXY, 1)  # type: ignore[arg-type]
    assert [box.label for box in answer.boxes] == [1]
    assert (answer.omitted, answer.invalid) == (0, 1)


def test_a_model_that_answers_nothing_finite_still_has_its_page(tmp_path: Path) -> None:
    def lost(_: Mapping[str, np.ndarray]) -> Decoded:
        return Decoded(np.arange(2), np.full((2, 4), np.nan), np.zeros(2, int), np.array([np.nan, 0.5]))

    watch = logger(tmp_path / "page.html", decode=lost)
    watch.on_epoch_end(0, {"loss": math.inf})
    json.dumps(watch.state(), allow_nan=False)
    assert epochs_of(watch) == [
        {"phase": None, "logs": {"loss": None}, "predictions": [{"boxes": [], "omitted": 0, "invalid": 1}] * 2}
    ]
    assert (tmp_path / "page.html").exists()


def test_boxes_without_area_are_left_out_and_boxes_over_the_edge_stay() -> None:
    rows = [(0.5, 0.5, -0.25, 0.25, 1, 0.9), (0.5, 0.5, 0.25, 0.0, 1, 0.8), (-0.25, 0.5, 2.0, 0.75, 1, 0.7)]
    answer = answer_of(labeled_boxes(*rows), TRUE_XYXY, MAX_BOXES)
    assert [box.score for box in answer.boxes] == [0.7]
    assert (answer.boxes[0].min_x, answer.boxes[0].max_x, answer.boxes[0].max_y) == (-0.25, 1.75, 1.25)
    assert answer.invalid == 2


def test_boxes_are_plain_numbers_as_the_published_system_says() -> None:
    [box] = answer_of(labeled_boxes((0.3, 0.2, 0.4, 0.25, 1, 0.87)), TRUE_XYXY, MAX_BOXES).boxes
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


def test_an_epoch_is_one_question_to_the_model(tmp_path: Path) -> None:
    model = Answers()
    watch = logger(tmp_path / "page.html", model)
    for epoch in range(3):
        watch.on_epoch_end(epoch, {"loss": 1.0})
        assert len(model.asked) == watch.epochs_logged == epoch + 1
    for asked in model.asked:
        np.testing.assert_array_equal(asked, SQUARES)
    [left] = {tuple(epoch["predictions"][1]["boxes"][0][1:]) for epoch in epochs_of(watch)[:1]}
    assert left == (0.0, 0.75, 0.25, 1, 0.5, 0.5)
    assert [epoch["predictions"][0]["boxes"][0][0] for epoch in epochs_of(watch)] == [0.3, 0.4, 0.5]


def test_epochs_are_counted_on_through_phases(tmp_path: Path) -> None:
    watch = logger(tmp_path / "page.html")
    watch.phase = "head"
    watch.on_epoch_end(0, {"loss": 3.0})
    watch.on_epoch_end(1, {"loss": 2.0})
    watch.phase = "all layers"
    watch.on_epoch_end(0, {"loss": np.float32(1.5), "val_loss": math.nan})
    assert [(epoch["phase"], epoch["logs"]) for epoch in epochs_of(watch)] == [
        ("head", {"loss": 3.0}),
        ("head", {"loss": 2.0}),
        ("all layers", {"loss": 1.5, "val_loss": None}),
    ]


def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    whole, first, second = (tmp_path / name / "page.html" for name in ("whole", "first", "second"))
    model = Answers()
    watch = logger(whole, model)
    for epoch in range(5):
        watch.on_epoch_end(epoch, {"loss": 1 / (epoch + 3)})
    before = logger(first, stopped := Answers())
    for epoch in range(3):
        before.on_epoch_end(epoch, {"loss": 1 / (epoch + 3)})
    after = logger(second, stopped)
    after.restore(json.loads(json.dumps(before.state(), allow_nan=False)))
    assert second.read_bytes() == first.read_bytes()
    assert after.epochs_logged == 3
    for epoch in (3, 4):
        after.on_epoch_end(epoch, {"loss": 1 / (epoch + 3)})
    assert second.read_bytes() == whole.read_bytes()
    assert after.state() == watch.state()


def test_the_state_is_a_copy(tmp_path: Path) -> None:
    watch = logger(tmp_path / "page.html")
    watch.on_epoch_end(0, {"loss": 1.0})
    state = watch.state()
    watch.on_epoch_end(1, {"loss": 0.5})
    assert len(state["epochs"]) == 1


def test_nothing_to_restore_writes_no_page(tmp_path: Path) -> None:
    watch = logger(tmp_path / "page.html")
    watch.restore(watch.state())
    assert list(tmp_path.iterdir()) == []


def test_a_state_of_other_images_is_refused(tmp_path: Path) -> None:
    watch = logger(tmp_path / "page.html")
    watch.on_epoch_end(0, {"loss": 1.0})
    other = logger(tmp_path / "other.html", model_inputs=SQUARES[:1], truth=TRUTH[:1])
    with pytest.raises(BoxlineError) as raised:
        other.restore(watch.state())
    assert str(raised.value) == (
        "The boxes logged before the restart belong to 2 images, and now 1 are logged. "
        "Remove the training's checkpoint to start anew."
    )


def localizer() -> tuple[keras.Model, keras.Model]:
    """The whole model, with dropout for its random numbers and batch normalization for its running means; its head."""
    image = keras.layers.Input((8, 8, 3))
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    trunk = keras.Model(image, features)
    inside = keras.layers.Input((192,))
    mixed = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(inside))
    outputs = {
        "bbox": keras.layers.Dense(4, "sigmoid", name="bbox")(mixed),
        "score": keras.layers.Dense(1, "sigmoid", name="score")(mixed),
    }
    head = keras.Model(inside, outputs)
    return keras.Model(image, head(trunk(image))), head


def decode_columns(outputs: Mapping[str, np.ndarray]) -> Decoded:
    return decode({"bbox": outputs["bbox"], "score": outputs["score"][:, 0]})


def train_head(page: Path | None) -> tuple[keras.Model, BBoxLogger | None]:
    keras.utils.set_random_seed(3)
    whole, head = localizer()
    head.compile(keras.optimizers.SGD(0.1), loss="mean_squared_error")
    watch = None if page is None else logger(page, whole, decode=decode_columns)
    features = np.random.default_rng(5).random((6, 192), np.float32)
    targets = {"bbox": np.full((6, 4), 0.4, np.float32), "score": np.ones((6, 1), np.float32)}
    callbacks = [] if watch is None else [watch]
    head.fit(features, targets, batch_size=2, epochs=2, validation_split=0.34, verbose=0, callbacks=callbacks)
    return whole, watch


@pytest.mark.slow
def test_the_whole_model_answers_while_its_head_is_trained(tmp_path: Path) -> None:
    whole, watch = train_head(tmp_path / "page.html")
    assert watch is not None
    first, last = epochs_of(watch)
    assert set(last["logs"]) == {"loss", "val_loss"} | set(first["logs"])
    assert last["logs"]["loss"] < first["logs"]["loss"]
    assert first["predictions"] != last["predictions"]
    x, y, width, height = np.asarray(whole.predict_on_batch(SQUARES)["bbox"], float)[1]
    assert last["predictions"][1]["boxes"][0][:4] == pytest.approx([x, y, x + width, y + height], abs=1e-5)
    assert (tmp_path / "page.html").exists()


@pytest.mark.slow
def test_a_training_that_is_logged_ends_with_the_same_weights(tmp_path: Path) -> None:
    logged, _ = train_head(tmp_path / "page.html")
    plain, _ = train_head(None)
    for one, other in zip(logged.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_page_has_an_upper_bound(tmp_path: Path) -> None:
    """The bytes per box and epoch that the viewer's documentation names."""
    rows = [(0.12345 + i / 999, 0.54321, 0.33333, 0.22222, 1, 0.98765 - i / 999) for i in range(200)]

    def crowd(_: Mapping[str, np.ndarray]) -> Decoded:
        found = labeled_boxes(*rows)
        assert found.scores is not None
        return Decoded(np.zeros(200, int), found.boxes_rel_xywh, found.labels, found.scores)

    watch = logger(tmp_path / "page.html", decode=crowd)
    watch.on_epoch_end(0, {})
    before = (tmp_path / "page.html").stat().st_size
    watch.on_epoch_end(1, {})
    assert len(epochs_of(watch)[1]["predictions"][0]["boxes"]) == MAX_BOXES
    assert epochs_of(watch)[1]["predictions"][0]["omitted"] == 200 - MAX_BOXES
    assert (tmp_path / "page.html").stat().st_size - before < len(SQUARES) * MAX_BOXES * 70


def test_an_epoch_has_the_form_that_the_page_reads(tmp_path: Path) -> None:
    watch = logger(tmp_path / "page.html")
    watch.on_epoch_end(0, {"loss": 1.0})
    assert set(epochs_of(watch)[0]) == set(Epoch.__struct_fields__) == {"phase", "logs", "predictions"}
