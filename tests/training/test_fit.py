"""Trainings of a model so small that its numbers can be followed: brightness in, one number out."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.packing.shards import Shards, shard_path, write_shard
from pipeline.systems import interfaces as verbs
from pipeline.systems.interfaces import Part, Truth
from pipeline.systems.labels import Labels
from pipeline.systems.target_annotations import annotation_columns
from pipeline.training.augmentation import Augmentation
from pipeline.training.checkpoint import Checkpoint, TrainingState
from pipeline.training.config import (
    AugmentConfig,
    ColorConfig,
    CosineConfig,
    PhaseConfig,
    PlateauConfig,
    StepConfig,
    TrainConfig,
)
from pipeline.training.data_loader import EpochSeed, ShardLoader
from pipeline.training.fit import Data, fit, prepare
from tests.support.scenes import truth

pytestmark = pytest.mark.slow

LOSS: dict[str, Any] = {"loss": {"value": "mean_squared_error"}}


class Log(keras.callbacks.Callback):
    """Counts its epochs, as the box logger does; interrupts the training after some of them."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        super().__init__()
        self.phase: str | None = None
        self.epochs: list[str] = []
        self._interrupt_after = interrupt_after

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if len(self.epochs) == self._interrupt_after:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(f"{self.phase} {epoch}")

    def restore(self, saved: Any) -> None:
        self.epochs = list(saved)

    def state(self) -> list[str]:
        return self.epochs


@pytest.fixture
def shards(tmp_path: Path) -> tuple[Shards, Shards]:
    """Twenty images whose brightness is their target."""
    ids = np.arange(1, 21)
    pixels = np.broadcast_to((ids * 10).astype(np.uint8)[:, None, None, None], (20, 4, 4, 1))
    write_shard(shard_path(tmp_path / "pack", "train", 0), ids, {"image": pixels})
    write_shard(shard_path(tmp_path / "targets", "train", 0), ids, {"value": (ids[:, None] / 20).astype(np.float32)})
    return Shards(tmp_path / "pack", "train"), Shards(tmp_path / "targets", "train")


def brightness_model() -> keras.Model:
    image = keras.layers.Input((4, 4, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dense(4, activation="softplus", name="features")(x)
    return keras.Model(image, {"value": keras.layers.Dense(1, name="value")(keras.layers.Dropout(0.2)(x))})


def settings(validation_batches: int = 1, **phases: PhaseConfig) -> TrainConfig:
    return TrainConfig(
        batch_size=4,
        validation_batches=validation_batches,
        precision="float32",
        xla=False,
        phases=phases or {"all": PhaseConfig(epochs=3, learning_rate=0.01)},
    )


def part_of(model: keras.Model, cut: str | None = None, **changes: Any) -> Any:
    return lambda _: Part(model, {**LOSS, **changes}, cut)


def run(
    shards: tuple[Shards, Shards], train: TrainConfig, folder: Path, log: Log | None = None
) -> tuple[keras.Model, TrainingState]:
    """A whole training from seed 1, its state in `folder`."""
    prepare(train, 1)
    model = brightness_model()
    data = Data.of(*shards, train, 1)
    checkpoint = Checkpoint(folder, "abc")
    state = checkpoint.load()
    fit(model, part_of(model), data, train, checkpoint, state, log or Log())
    return model, state


def weights_of(model: keras.Model) -> list[list[float]]:
    return [weight.ravel().tolist() for weight in model.get_weights()]


def test_rows_hold_every_epoch_of_every_phase(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    train = settings(first=PhaseConfig(epochs=2, learning_rate=0.05), second=PhaseConfig(epochs=1, learning_rate=0.05))
    _, state = run(shards, train, tmp_path)
    assert [(row["epoch"], row["phase"]) for row in state.rows] == [(1, "first"), (2, "first"), (3, "second")]
    assert all(row["val_loss"] > 0 for row in state.rows)
    assert [row["learning_rate"] for row in state.rows] == pytest.approx([0.05, 0.05, 0.05])
    assert state.seconds > 0


def test_the_same_seed_gives_the_same_weights(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    first, _ = run(shards, settings(), tmp_path / "a")
    second, _ = run(shards, settings(), tmp_path / "b")
    assert weights_of(first) == weights_of(second)


def test_no_phase_sees_the_batches_of_another(
    shards: tuple[Shards, Shards], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the training was stopped within the second one."""
    started: list[int] = []
    set_epoch = ShardLoader.set_epoch

    def watched(batches: ShardLoader, epoch: int) -> None:
        if epoch:  # a new object begins with 0, and so do held-out images
            started.append(epoch)
        set_epoch(batches, epoch)

    monkeypatch.setattr(ShardLoader, "set_epoch", watched)
    train = settings(first=PhaseConfig(epochs=2, learning_rate=0.01), second=PhaseConfig(epochs=3, learning_rate=0.01))
    with pytest.raises(KeyboardInterrupt):
        run(shards, train, tmp_path, Log(interrupt_after=4))
    run(shards, train, tmp_path)
    assert started == [1, 2, 3, 4, 4]  # the last epoch was begun, and once more


TWO_PHASES = {
    "first": PhaseConfig(epochs=3, learning_rate=0.02, patience=2),
    "second": PhaseConfig(epochs=3, learning_rate=0.02, schedule=StepConfig(every_epochs=2, factor=0.5)),
}


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_stopped_training_ends_as_if_it_had_never_stopped(
    shards: tuple[Shards, Shards], tmp_path: Path, after: int
) -> None:
    train = settings(**TWO_PHASES)
    undisturbed, whole = run(shards, train, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(shards, train, tmp_path / "stopped", Log(interrupt_after=after))
    log = Log()
    resumed, state = run(shards, train, tmp_path / "stopped", log)
    assert weights_of(resumed) == weights_of(undisturbed)
    assert state.rows == whole.rows
    assert log.epochs == ["first 0", "first 1", "first 2", "second 0", "second 1", "second 2"]


@pytest.mark.parametrize(
    "phase",
    [
        pytest.param(
            PhaseConfig(
                epochs=4,
                learning_rate=0.05,
                schedule=CosineConfig(warmup_epochs=1.5, final_lr_fraction=0.1),
                weight_decay=0.1,
            ),
            id="cosine",
        ),
        pytest.param(
            PhaseConfig(epochs=8, learning_rate=9.0, schedule=PlateauConfig(patience=2, factor=0.1), clip_norm=1.0),
            id="plateau",
        ),
    ],
)
def test_a_stopped_training_goes_on_with_the_same_rates(
    shards: tuple[Shards, Shards], tmp_path: Path, phase: PhaseConfig
) -> None:
    undisturbed, whole = run(shards, settings(all=phase), tmp_path / "whole")
    rates = [row["learning_rate"] for row in whole.rows]
    # Stopped one epoch before the rate falls: a plateau has waited once by then.
    falls = next(epoch for epoch in range(2, phase.epochs) if rates[epoch] < rates[epoch - 1])
    with pytest.raises(KeyboardInterrupt):
        run(shards, settings(all=phase), tmp_path / "stopped", Log(interrupt_after=falls - 1))
    resumed, state = run(shards, settings(all=phase), tmp_path / "stopped")
    assert state.rows == whole.rows
    assert weights_of(resumed) == weights_of(undisturbed)


def test_a_training_stopped_when_patience_ran_out_trains_no_more(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    train = settings(all=PhaseConfig(epochs=50, learning_rate=9.0, patience=2))
    undisturbed, whole = run(shards, train, tmp_path)
    epochs = len(whole.rows)
    checkpoint = Checkpoint(tmp_path, "abc")
    finished = checkpoint.load()
    best = int(np.argmin([row["val_loss"] for row in whole.rows]))
    assert epochs == best + 3 < 50
    # What stood on the disk between the last epoch and the end of the phase.
    memory = {"score": whole.rows[best]["val_loss"], "wait": 2, "epoch": best}
    best_weights = undisturbed.get_weights()
    last = TrainingState(
        0, epochs, 1.0, finished.rows, [], memory, best_weights=best_weights, variables=finished.variables
    )
    checkpoint.save(last)
    resumed, state = run(shards, train, tmp_path)
    assert len(state.rows) == epochs
    assert weights_of(resumed) == weights_of(undisturbed)


def test_early_stopping_goes_back_to_the_best_weights(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    # Far too large a step: an early epoch is the best one.
    model, state = run(shards, settings(all=PhaseConfig(epochs=50, learning_rate=9.0, patience=2)), tmp_path / "a")
    best = int(np.argmin([row["val_loss"] for row in state.rows]))
    again, _ = run(shards, settings(all=PhaseConfig(epochs=best + 1, learning_rate=9.0)), tmp_path / "b")
    assert weights_of(model) == weights_of(again)


def test_the_learning_rate_drops_every_so_many_epochs(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    phase = PhaseConfig(epochs=5, learning_rate=0.08, schedule=StepConfig(every_epochs=2, factor=0.5))
    _, state = run(shards, settings(all=phase), tmp_path)
    assert [row["learning_rate"] for row in state.rows] == pytest.approx([0.08, 0.08, 0.04, 0.04, 0.02])


def test_frozen_layers_answer_once_and_the_rest_learns(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    """With and without the cut, the same training gives the same weights."""
    results = []
    for cut in (None, "features"):
        train = settings(all=PhaseConfig(epochs=4, learning_rate=0.05))
        prepare(train, 3)
        model = brightness_model()
        model.get_layer("features").trainable = False
        before = model.get_layer("features").get_weights()
        fit(
            model,
            part_of(model, cut),
            Data.of(*shards, train, 3),
            train,
            Checkpoint(tmp_path / str(cut), "x"),
            TrainingState(),
            Log(),
        )
        for was, now in zip(before, model.get_layer("features").get_weights(), strict=True):
            np.testing.assert_array_equal(was, now)
        results.append(model.get_layer("value").get_weights())
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    prepare(settings(), 3)
    assert not np.allclose(results[1][0], brightness_model().get_layer("value").get_weights()[0])


def test_a_stream_takes_the_place_of_the_packed_images(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    drawn = []

    def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        values = random.uniform(0, 1, count)
        drawn.extend(values.round(6).tolist())
        pixels = np.broadcast_to((values * 255).astype(np.uint8)[:, None, None, None], (count, 4, 4, 1))
        return pixels, {"value": values[:, None].astype(np.float32)}

    train = settings(all=PhaseConfig(epochs=3, learning_rate=0.05))
    prepare(train, 1)
    model = brightness_model()
    data = Data.of(*shards, train, 1, draw)
    state = TrainingState()
    fit(model, part_of(model), data, train, Checkpoint(tmp_path, "x"), state, Log())
    assert len(set(drawn)) >= 3 * 16  # four steps of four new images in each epoch
    assert state.rows[-1]["val_loss"] < state.rows[0]["val_loss"]


CHANGES = AugmentConfig(
    flip_probability=0.5,
    max_translate_fraction=0.0,
    scale=(1.0, 1.0),
    rotate_degrees=0.0,
    color=ColorConfig(brightness=0.5, contrast=0.0, saturation=0.0),
)


def left_edge(boxes: Truth) -> dict[str, np.ndarray]:
    return {"value": boxes.boxes_rel_xywh[0, :1].astype(np.float32)}


@pytest.fixture
def boxed(tmp_path: Path) -> tuple[Shards, Shards]:
    """Twenty images that say nothing of their target: the left edge of their box, 0.2 or, mirrored, 0.3."""
    ids = np.arange(1, 21)
    pixels = np.full((20, 4, 4, 1), 100, np.uint8)
    truths = [truth([0.2, 0.1, 0.5, 0.4])] * 20
    write_shard(shard_path(tmp_path / "pack", "train", 0), ids, {"image": pixels})
    columns = {"value": np.full((20, 1), 0.2, np.float32)} | annotation_columns(truths, 1)
    write_shard(shard_path(tmp_path / "targets", "train", 0), ids, columns)
    return Shards(tmp_path / "pack", "train"), Shards(tmp_path / "targets", "train")


def augmented_run(
    boxed: tuple[Shards, Shards], folder: Path, log: Log, cut: str | None = None
) -> tuple[Any, TrainingState]:
    train = settings(all=PhaseConfig(epochs=3, learning_rate=0.02))
    prepare(train, 1)
    model = brightness_model()
    data = Data.of(*boxed, train, 1, augmentation=Augmentation(CHANGES, left_edge))
    checkpoint = Checkpoint(folder, "abc")
    state = checkpoint.load()
    fit(model, part_of(model, cut), data, train, checkpoint, state, log)
    return model, state


def test_a_stopped_augmented_training_ends_as_if_it_had_never_stopped(
    boxed: tuple[Shards, Shards], tmp_path: Path
) -> None:
    undisturbed, whole = augmented_run(boxed, tmp_path / "whole", Log())
    with pytest.raises(KeyboardInterrupt):
        augmented_run(boxed, tmp_path / "stopped", Log(interrupt_after=1))
    resumed, state = augmented_run(boxed, tmp_path / "stopped", Log())
    assert weights_of(resumed) == weights_of(undisturbed)
    assert state.rows == whole.rows


def test_frozen_layers_see_images_that_change(boxed: tuple[Shards, Shards], tmp_path: Path) -> None:
    """Answers computed once would not: with the cut, the same training gives the same weights as without."""
    with_cut, _ = augmented_run(boxed, tmp_path / "a", Log(), cut="features")
    without, _ = augmented_run(boxed, tmp_path / "b", Log())
    assert weights_of(with_cut) == weights_of(without)


def test_held_out_images_are_never_changed(boxed: tuple[Shards, Shards], tmp_path: Path) -> None:
    """A model that always answers 0.2 is right about all of them, and wrong about the mirrored ones."""
    model = brightness_model()
    model.get_layer("value").set_weights([np.zeros((4, 1)), np.array([0.2])])
    train = settings(all=PhaseConfig(epochs=1, learning_rate=1e-12))
    data = Data.of(*boxed, train, 1, augmentation=Augmentation(CHANGES, left_edge))
    state = TrainingState()
    fit(model, part_of(model), data, train, Checkpoint(tmp_path, "x"), state, Log())
    assert state.rows[0]["val_loss"] == pytest.approx(0, abs=1e-9)
    assert state.rows[0]["loss"] == pytest.approx(0.005, abs=0.004)  # 0.1 squared for about half of them


def test_images_that_are_drawn_anew_are_not_augmented(boxed: tuple[Shards, Shards]) -> None:
    def draw(random: np.random.Generator, count: int) -> Any:
        raise AssertionError

    with pytest.raises(BoxlineError) as raised:
        Data.of(*boxed, settings(), 1, draw, Augmentation(CHANGES, left_edge))
    assert str(raised.value) == (
        "train.augment in params.yaml changes packed images, and this system draws new ones for every step. "
        "Set train.augment to null, or let the system train on packed images."
    )


def test_no_phase_leaves_the_model_alone(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    train = TrainConfig(batch_size=4, validation_batches=0, precision="float32", xla=False, phases={})
    prepare(train, 1)
    model = brightness_model()
    before = weights_of(model)
    state = TrainingState()
    fit(model, part_of(model), Data.of(*shards, train, 1), train, Checkpoint(tmp_path, "x"), state, Log())
    assert (state.rows, weights_of(model)) == ([], before)


def test_shown_images_are_distinct_and_have_all_their_boxes(tmp_path: Path) -> None:
    """Three images with two examples each; the codec answers one box per example."""
    ids = np.repeat([2, 5, 9], 2)
    pixels = np.broadcast_to(np.array([2, 5, 9], np.uint8)[:, None, None, None], (3, 4, 4, 1))
    write_shard(shard_path(tmp_path / "pack", "train", 0), np.array([2, 5, 9]), {"image": pixels})
    columns = {
        "class_prediction": np.arange(6, dtype=np.int32) % 2,
        "bbox_prediction": np.full((6, 4), 0.5, np.float32),
    }
    write_shard(shard_path(tmp_path / "targets", "train", 0), ids, columns)
    train = TrainConfig(batch_size=1, validation_batches=0, precision="float32", xla=False, phases={})
    data = Data.of(Shards(tmp_path / "pack", "train"), Shards(tmp_path / "targets", "train"), train, 1)
    model_inputs, truth = data.shown(
        2, verbs.codec("snack_localizer"), Labels(np.array([1, 2], np.int32), ["apple", "cake"])
    )
    assert model_inputs[:, 0, 0, 0].tolist() == [2, 9]
    assert [labeled_boxes.labels.tolist() for labeled_boxes in truth] == [[0, 1], [0, 1]]


def test_several_examples_of_an_image_are_held_out_together(tmp_path: Path) -> None:
    ids = np.repeat(np.arange(1, 9), 2)
    write_shard(shard_path(tmp_path, "train", 0), ids, {"value": np.zeros((16, 1), np.float32)})
    targets = Shards(tmp_path, "train")
    data = Data.of(targets, targets, settings(), 5)
    assert set(ids[data.trained]).isdisjoint(ids[data.held_out])
    assert (data.count(data.trained), data.count(data.held_out)) == (4, 4)
    assert len(data.held_out) == 8


def test_too_many_held_out_images(shards: tuple[Shards, Shards]) -> None:
    with pytest.raises(BoxlineError) as raised:
        Data.of(*shards, settings(validation_batches=5), 1)
    assert str(raised.value) == (
        "20 images suit training and 5 batches of 4 are held out, so none is left to train on. "
        "Lower train.validation_batches in params.yaml."
    )


@pytest.mark.filterwarnings("ignore:.*NaN.*")
def test_a_loss_that_is_no_number_stops_and_is_not_saved(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    def broken(true, predicted):  # type: ignore[no-untyped-def]
        return keras.ops.sum(keras.ops.log(-1.0 - predicted * predicted), axis=-1)

    train = settings()
    model = brightness_model()
    checkpoint = Checkpoint(tmp_path, "x")
    with pytest.raises(BoxlineError) as raised:
        fit(
            model,
            part_of(model, loss={"value": broken}),
            Data.of(*shards, train, 1),
            train,
            checkpoint,
            TrainingState(),
            Log(),
        )
    assert str(raised.value) == (
        "loss became nan in epoch 1, phase all. Lower train.phases.all.learning_rate in params.yaml."
    )
    assert checkpoint.load() == TrainingState()


@pytest.mark.filterwarnings("ignore:.*NaN.*")
def test_a_metric_that_is_no_number_ends_the_training_at_once(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    """The loss stays finite, so Keras itself would go on."""

    def metric(true, predicted):  # type: ignore[no-untyped-def]
        return predicted * float("nan")

    train, log = settings(all=PhaseConfig(epochs=30, learning_rate=0.01)), Log()
    model = brightness_model()
    with pytest.raises(BoxlineError) as raised:
        fit(
            model,
            part_of(model, metrics={"value": [metric]}),
            Data.of(*shards, train, 1),
            train,
            Checkpoint(tmp_path, "x"),
            TrainingState(),
            log,
        )
    assert str(raised.value).startswith("metric became nan in epoch 1, phase all.")
    assert len(log.epochs) == 1


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_resumes(shards: tuple[Shards, Shards], tmp_path: Path, precision: Any) -> None:
    train = TrainConfig(
        batch_size=4,
        validation_batches=1,
        precision=precision,
        xla=False,
        phases={"all": PhaseConfig(epochs=3, learning_rate=0.02)},
    )
    try:
        undisturbed, _ = run(shards, train, tmp_path / "whole")
        assert undisturbed.get_layer("features").compute_dtype == precision.removeprefix("mixed_")
        with pytest.raises(KeyboardInterrupt):
            run(shards, train, tmp_path / "stopped", Log(interrupt_after=2))
        resumed, _ = run(shards, train, tmp_path / "stopped")
        assert weights_of(resumed) == weights_of(undisturbed)
    finally:
        keras.config.set_dtype_policy("float32")


def test_epoch_seven_has_the_same_order_in_a_run_that_starts_there(shards: tuple[Shards, Shards]) -> None:
    """Seen by a model that answers the mean brightness of its batch: the order shows in its per-batch losses."""

    def losses_of_batches(first_epoch: int, epochs_before: int = 0) -> list[list[float]]:
        seen: list[list[float]] = []

        class Watch(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
                seen.append([])

            def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
                seen[-1].append(round(float((logs or {})["loss"]), 6))

        batches = ShardLoader(*shards, 4, ["value"], np.arange(20), seed=3)
        image = keras.layers.Input((4, 4, 1))
        mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
        model = keras.Model(image, {"value": keras.layers.Dense(1, name="value")(mean)})
        model.set_weights([np.ones((1, 1)), np.zeros(1)])
        model.compile(keras.optimizers.SGD(0.0), **LOSS)
        callbacks = [EpochSeed(batches, epochs_before), Watch()]
        model.fit(batches, initial_epoch=first_epoch, epochs=9, shuffle=False, verbose=0, callbacks=callbacks)
        return seen

    whole = losses_of_batches(0)
    assert len({tuple(epoch) for epoch in whole}) == 9
    assert losses_of_batches(7) == whole[7:]
    assert losses_of_batches(4, epochs_before=3)[:2] == whole[7:]
