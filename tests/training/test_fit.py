"""Trainings of a tiny model that maps the brightness of an image to one number."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.packing.shards import Shards, shard_path, write_shard
from pipeline.systems.common.interfaces import TrainingPhase
from pipeline.systems.common.target_annotations import annotation_columns
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
from pipeline.training.data_loader import Batch, BatchLoader, EpochBatches, EpochSetter
from pipeline.training.fit import TrainingData, configure_keras, fit
from tests.support.scenes import ground_truth

pytestmark = pytest.mark.slow

LOSS: dict[str, Any] = {"loss": {"value": "mean_squared_error"}}


class FakeLogger(keras.callbacks.Callback):
    """Records its epochs in place of the box logger, and can interrupt the training after some of them."""

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


def train_config(validation_batches: int = 1, **phases: PhaseConfig) -> TrainConfig:
    return TrainConfig(
        batch_size=4,
        validation_batches=validation_batches,
        precision="float32",
        xla=False,
        phases=phases or {"all": PhaseConfig(epochs=3, learning_rate=0.01)},
    )


def phase_of(model: keras.Model, frozen_until: str | None = None, **compile_arguments: Any) -> Any:
    return lambda _: TrainingPhase(model, {**LOSS, **compile_arguments}, frozen_until)


def run(
    shards: tuple[Shards, Shards], config: TrainConfig, folder: Path, logger: FakeLogger | None = None
) -> tuple[keras.Model, TrainingState]:
    """A whole training from seed 1, with its checkpoint in `folder`."""
    configure_keras(config, 1)
    model = brightness_model()
    data = TrainingData.split(*shards, config, 1)
    checkpoint = Checkpoint(folder, "abc")
    state = checkpoint.load()
    fit(model, phase_of(model), data, config, checkpoint, state, logger or FakeLogger())
    return model, state


def weights_of(model: keras.Model) -> list[list[float]]:
    return [weight.ravel().tolist() for weight in model.get_weights()]


def test_history_has_one_row_per_epoch_of_every_phase(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    config = train_config(
        first=PhaseConfig(epochs=2, learning_rate=0.05), second=PhaseConfig(epochs=1, learning_rate=0.05)
    )
    _, state = run(shards, config, tmp_path)
    assert [(row["epoch"], row["phase"]) for row in state.history] == [(1, "first"), (2, "first"), (3, "second")]
    assert all(row["val_loss"] > 0 for row in state.history)
    assert [row["learning_rate"] for row in state.history] == pytest.approx([0.05, 0.05, 0.05])
    assert state.seconds > 0


def test_same_seed_gives_same_weights(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    first, _ = run(shards, train_config(), tmp_path / "a")
    second, _ = run(shards, train_config(), tmp_path / "b")
    assert weights_of(first) == weights_of(second)


class CountingModel(keras.Model):
    """Counts how often its training step is traced."""

    traces = 0

    def train_step(self, data: Any) -> Any:
        self.traces += 1
        return super().train_step(data)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="other backends trace no step twice")
def test_training_step_is_traced_once(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    """TensorFlow would trace it again if it created variables of the optimizer, the losses or the metrics."""
    inner, config = brightness_model(), train_config()
    model = CountingModel(inner.input, inner.output)
    data = TrainingData.split(*shards, config, 1)
    checkpoint = Checkpoint(tmp_path, "abc")
    phase_model = phase_of(model, metrics={"value": ["mean_absolute_error"]})
    fit(model, phase_model, data, config, checkpoint, checkpoint.load(), FakeLogger())
    assert model.traces == 1


def test_no_phase_repeats_the_batches_of_another(
    shards: tuple[Shards, Shards], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the training is interrupted in the second phase."""
    started: list[int] = []
    set_epoch = EpochBatches.set_epoch

    def recorded(batches: EpochBatches, epoch: int) -> None:
        started.append(epoch)
        set_epoch(batches, epoch)

    monkeypatch.setattr(EpochBatches, "set_epoch", recorded)
    config = train_config(
        first=PhaseConfig(epochs=2, learning_rate=0.01), second=PhaseConfig(epochs=3, learning_rate=0.01)
    )
    with pytest.raises(KeyboardInterrupt):
        run(shards, config, tmp_path, FakeLogger(interrupt_after=4))
    run(shards, config, tmp_path)
    assert started == [0, 1, 2, 3, 4, 4]  # the interrupted epoch is started twice


TWO_PHASES = {
    "first": PhaseConfig(epochs=3, learning_rate=0.02, patience=2),
    "second": PhaseConfig(epochs=3, learning_rate=0.02, schedule=StepConfig(every_epochs=2, factor=0.5)),
}


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_interrupted_training_ends_with_the_same_weights(
    shards: tuple[Shards, Shards], tmp_path: Path, after: int
) -> None:
    config = train_config(**TWO_PHASES)
    uninterrupted, expected = run(shards, config, tmp_path / "uninterrupted")
    with pytest.raises(KeyboardInterrupt):
        run(shards, config, tmp_path / "interrupted", FakeLogger(interrupt_after=after))
    logger = FakeLogger()
    resumed, state = run(shards, config, tmp_path / "interrupted", logger)
    assert weights_of(resumed) == weights_of(uninterrupted)
    assert state.history == expected.history
    assert logger.epochs == ["first 0", "first 1", "first 2", "second 0", "second 1", "second 2"]


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
def test_interrupted_training_resumes_with_the_same_learning_rates(
    shards: tuple[Shards, Shards], tmp_path: Path, phase: PhaseConfig
) -> None:
    uninterrupted, expected = run(shards, train_config(all=phase), tmp_path / "uninterrupted")
    rates = [row["learning_rate"] for row in expected.history]
    # Interrupted one epoch before the rate drops: by then a plateau schedule has waited for one epoch.
    dropped = next(epoch for epoch in range(2, phase.epochs) if rates[epoch] < rates[epoch - 1])
    with pytest.raises(KeyboardInterrupt):
        run(shards, train_config(all=phase), tmp_path / "interrupted", FakeLogger(interrupt_after=dropped - 1))
    resumed, state = run(shards, train_config(all=phase), tmp_path / "interrupted")
    assert state.history == expected.history
    assert weights_of(resumed) == weights_of(uninterrupted)


def test_training_interrupted_when_patience_ran_out_is_not_continued(
    shards: tuple[Shards, Shards], tmp_path: Path
) -> None:
    config = train_config(all=PhaseConfig(epochs=50, learning_rate=9.0, patience=2))
    uninterrupted, expected = run(shards, config, tmp_path)
    epochs = len(expected.history)
    checkpoint = Checkpoint(tmp_path, "abc")
    complete = checkpoint.load()
    best = int(np.argmin([row["val_loss"] for row in expected.history]))
    assert epochs == best + 3 < 50
    # The checkpoint between the last epoch and the end of the phase.
    early_stopping = {"score": expected.history[best]["val_loss"], "wait": 2, "epoch": best}
    best_weights = uninterrupted.get_weights()
    last = TrainingState(
        completed_epochs=epochs,
        seconds=1.0,
        history=complete.history,
        box_log=[],
        early_stopping=early_stopping,
        best_weights=best_weights,
        model_variables=complete.model_variables,
    )
    checkpoint.save(last)
    resumed, state = run(shards, config, tmp_path)
    assert len(state.history) == epochs
    assert weights_of(resumed) == weights_of(uninterrupted)


def test_early_stopping_restores_the_best_weights(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    # With this learning rate an early epoch is the best one.
    model, state = run(shards, train_config(all=PhaseConfig(epochs=50, learning_rate=9.0, patience=2)), tmp_path / "a")
    best = int(np.argmin([row["val_loss"] for row in state.history]))
    again, _ = run(shards, train_config(all=PhaseConfig(epochs=best + 1, learning_rate=9.0)), tmp_path / "b")
    assert weights_of(model) == weights_of(again)


def test_step_schedule(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    phase = PhaseConfig(epochs=5, learning_rate=0.08, schedule=StepConfig(every_epochs=2, factor=0.5))
    _, state = run(shards, train_config(all=phase), tmp_path)
    assert [row["learning_rate"] for row in state.history] == pytest.approx([0.08, 0.08, 0.04, 0.04, 0.02])


def test_cached_features_give_the_same_weights(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    results = []
    for frozen_until in (None, "features"):
        config = train_config(all=PhaseConfig(epochs=4, learning_rate=0.05))
        configure_keras(config, 3)
        model = brightness_model()
        model.get_layer("features").trainable = False
        before = model.get_layer("features").get_weights()
        fit(
            model,
            phase_of(model, frozen_until),
            TrainingData.split(*shards, config, 3),
            config,
            Checkpoint(tmp_path / str(frozen_until), "x"),
            TrainingState(),
            FakeLogger(),
        )
        for old, new in zip(before, model.get_layer("features").get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
        results.append(model.get_layer("value").get_weights())
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    configure_keras(train_config(), 3)
    assert not np.allclose(results[1][0], brightness_model().get_layer("value").get_weights()[0])


def test_synthetic_batches_replace_packed_images(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    drawn = []

    def generate(random: np.random.Generator, count: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        values = random.uniform(0, 1, count)
        drawn.extend(values.round(6).tolist())
        pixels = np.broadcast_to((values * 255).astype(np.uint8)[:, None, None, None], (count, 4, 4, 1))
        return pixels, {"value": values[:, None].astype(np.float32)}

    config = train_config(all=PhaseConfig(epochs=3, learning_rate=0.05))
    configure_keras(config, 1)
    model = brightness_model()
    data = TrainingData.split(*shards, config, 1, generate)
    state = TrainingState()
    fit(model, phase_of(model), data, config, Checkpoint(tmp_path, "x"), state, FakeLogger())
    assert len(set(drawn)) >= 3 * 16  # four steps of four new images in each epoch
    assert state.history[-1]["val_loss"] < state.history[0]["val_loss"]


AUGMENT = AugmentConfig(
    flip_probability=0.5,
    max_translate_fraction=0.0,
    scale=(1.0, 1.0),
    rotate_degrees=0.0,
    color=ColorConfig(brightness=0.5, contrast=0.0, saturation=0.0),
)


def left_edge(boxes: LabeledBoxes) -> dict[str, np.ndarray]:
    return {"value": boxes.boxes_rel_xywh[0, :1].astype(np.float32)}


@pytest.fixture
def boxed(tmp_path: Path) -> tuple[Shards, Shards]:
    """Twenty equal images. Their target is the left edge of the box: 0.2, or 0.3 if mirrored."""
    ids = np.arange(1, 21)
    pixels = np.full((20, 4, 4, 1), 100, np.uint8)
    examples = [ground_truth([0.2, 0.1, 0.5, 0.4])] * 20
    write_shard(shard_path(tmp_path / "pack", "train", 0), ids, {"image": pixels})
    columns = {"value": np.full((20, 1), 0.2, np.float32)} | annotation_columns(examples, 1)
    write_shard(shard_path(tmp_path / "targets", "train", 0), ids, columns)
    return Shards(tmp_path / "pack", "train"), Shards(tmp_path / "targets", "train")


def augmented_run(
    boxed: tuple[Shards, Shards], folder: Path, logger: FakeLogger, frozen_until: str | None = None
) -> tuple[Any, TrainingState]:
    config = train_config(all=PhaseConfig(epochs=3, learning_rate=0.02))
    configure_keras(config, 1)
    model = brightness_model()
    data = TrainingData.split(*boxed, config, 1, augmentation=Augmentation(AUGMENT, left_edge))
    checkpoint = Checkpoint(folder, "abc")
    state = checkpoint.load()
    fit(model, phase_of(model, frozen_until), data, config, checkpoint, state, logger)
    return model, state


def test_interrupted_training_with_augmentation_ends_with_the_same_weights(
    boxed: tuple[Shards, Shards], tmp_path: Path
) -> None:
    uninterrupted, expected = augmented_run(boxed, tmp_path / "uninterrupted", FakeLogger())
    with pytest.raises(KeyboardInterrupt):
        augmented_run(boxed, tmp_path / "interrupted", FakeLogger(interrupt_after=1))
    resumed, state = augmented_run(boxed, tmp_path / "interrupted", FakeLogger())
    assert weights_of(resumed) == weights_of(uninterrupted)
    assert state.history == expected.history


def test_features_are_not_cached_with_augmentation(boxed: tuple[Shards, Shards], tmp_path: Path) -> None:
    frozen, _ = augmented_run(boxed, tmp_path / "a", FakeLogger(), frozen_until="features")
    plain, _ = augmented_run(boxed, tmp_path / "b", FakeLogger())
    assert weights_of(frozen) == weights_of(plain)


def test_validation_images_are_not_augmented(boxed: tuple[Shards, Shards], tmp_path: Path) -> None:
    """The model always predicts 0.2, which is correct unless an image is mirrored."""
    model = brightness_model()
    model.get_layer("value").set_weights([np.zeros((4, 1)), np.array([0.2])])
    config = train_config(all=PhaseConfig(epochs=1, learning_rate=1e-12))
    data = TrainingData.split(*boxed, config, 1, augmentation=Augmentation(AUGMENT, left_edge))
    state = TrainingState()
    fit(model, phase_of(model), data, config, Checkpoint(tmp_path, "x"), state, FakeLogger())
    assert state.history[0]["val_loss"] == pytest.approx(0, abs=1e-9)
    assert state.history[0]["loss"] == pytest.approx(0.005, abs=0.004)  # 0.1 squared for about half of them


def test_synthetic_batches_cannot_be_augmented(boxed: tuple[Shards, Shards]) -> None:
    def generate(random: np.random.Generator, count: int) -> Any:
        raise AssertionError

    with pytest.raises(BoxlineError) as raised:
        TrainingData.split(*boxed, train_config(), 1, generate, Augmentation(AUGMENT, left_edge))
    assert str(raised.value) == (
        "train.augment in params.yaml changes packed images, but this system generates new images in every step. "
        "Set train.augment to null, or train on packed images."
    )


def test_training_without_phases_does_not_change_the_model(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    config = TrainConfig(batch_size=4, validation_batches=0, precision="float32", xla=False, phases={})
    configure_keras(config, 1)
    model = brightness_model()
    before = weights_of(model)
    state = TrainingState()
    fit(
        model,
        phase_of(model),
        TrainingData.split(*shards, config, 1),
        config,
        Checkpoint(tmp_path, "x"),
        state,
        FakeLogger(),
    )
    assert (state.history, weights_of(model)) == ([], before)


def test_example_images_are_distinct_and_have_all_their_objects(tmp_path: Path) -> None:
    """Three images with two examples each; crowd regions are left out."""
    ids = np.repeat([2, 5, 9], 2)
    pixels = np.broadcast_to(np.array([2, 5, 9], np.uint8)[:, None, None, None], (3, 4, 4, 1))
    write_shard(shard_path(tmp_path / "pack", "train", 0), np.array([2, 5, 9]), {"image": pixels})
    first = ground_truth([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 1.0, 1.0]], [0, 1], crowds=[1])
    second = ground_truth([[0.5, 0.5, 0.25, 0.125]], [1])
    columns = {"value": np.zeros((6, 1), np.float32)} | annotation_columns([first, second] * 3, 2)
    write_shard(shard_path(tmp_path / "targets", "train", 0), ids, columns)
    config = train_config(validation_batches=0)
    data = TrainingData.split(Shards(tmp_path / "pack", "train"), Shards(tmp_path / "targets", "train"), config, 1)
    model_inputs, objects = data.example_images(2)
    assert model_inputs[:, 0, 0, 0].tolist() == [2, 9]
    assert [boxes.labels.tolist() for boxes in objects] == [[0, 1], [0, 1]]
    assert objects[0].boxes_rel_xywh.tolist() == [[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.25, 0.125]]


def test_all_examples_of_an_image_are_held_out_together(tmp_path: Path) -> None:
    ids = np.repeat(np.arange(1, 9), 2)
    write_shard(shard_path(tmp_path, "train", 0), ids, {"value": np.zeros((16, 1), np.float32)})
    targets = Shards(tmp_path, "train")
    data = TrainingData.split(targets, targets, train_config(), 5)
    assert set(ids[data.training_rows]).isdisjoint(ids[data.validation_rows])
    assert (data.num_images(data.training_rows), data.num_images(data.validation_rows)) == (4, 4)
    assert len(data.validation_rows) == 8


def test_no_image_is_left_to_train_on(shards: tuple[Shards, Shards]) -> None:
    with pytest.raises(BoxlineError) as raised:
        TrainingData.split(*shards, train_config(validation_batches=5), 1)
    assert str(raised.value) == (
        "20 images have training targets, and 5 batches of 4 are held out, so no image is left to train on. "
        "Lower train.validation_batches in params.yaml."
    )


@pytest.mark.filterwarnings("ignore:.*NaN.*")
def test_nan_loss_stops_the_training_and_is_not_saved(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    def broken(true, predicted):  # type: ignore[no-untyped-def]
        return keras.ops.sum(keras.ops.log(-1.0 - predicted * predicted), axis=-1)

    config = train_config()
    model = brightness_model()
    checkpoint = Checkpoint(tmp_path, "x")
    with pytest.raises(BoxlineError) as raised:
        fit(
            model,
            phase_of(model, loss={"value": broken}),
            TrainingData.split(*shards, config, 1),
            config,
            checkpoint,
            TrainingState(),
            FakeLogger(),
        )
    assert str(raised.value) == (
        "loss became nan in epoch 1, phase all. Lower train.phases.all.learning_rate in params.yaml."
    )
    assert checkpoint.load() == TrainingState()


@pytest.mark.filterwarnings("ignore:.*NaN.*")
def test_nan_metric_stops_the_training_after_the_epoch(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    """The loss stays finite, so Keras itself would continue."""

    def metric(true, predicted):  # type: ignore[no-untyped-def]
        return predicted * float("nan")

    config, logger = train_config(all=PhaseConfig(epochs=30, learning_rate=0.01)), FakeLogger()
    model = brightness_model()
    with pytest.raises(BoxlineError) as raised:
        fit(
            model,
            phase_of(model, metrics={"value": [metric]}),
            TrainingData.split(*shards, config, 1),
            config,
            Checkpoint(tmp_path, "x"),
            TrainingState(),
            logger,
        )
    assert str(raised.value).startswith("metric became nan in epoch 1, phase all.")
    assert len(logger.epochs) == 1


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_resumes(shards: tuple[Shards, Shards], tmp_path: Path, precision: Any) -> None:
    config = TrainConfig(
        batch_size=4,
        validation_batches=1,
        precision=precision,
        xla=False,
        phases={"all": PhaseConfig(epochs=3, learning_rate=0.02)},
    )
    try:
        uninterrupted, _ = run(shards, config, tmp_path / "uninterrupted")
        assert uninterrupted.get_layer("features").compute_dtype == precision.removeprefix("mixed_")
        with pytest.raises(KeyboardInterrupt):
            run(shards, config, tmp_path / "interrupted", FakeLogger(interrupt_after=2))
        resumed, _ = run(shards, config, tmp_path / "interrupted")
        assert weights_of(resumed) == weights_of(uninterrupted)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(("first_epoch", "epochs_before"), [(0, 0), (7, 0), (4, 3)])
def test_every_step_gets_its_own_batch(first_epoch: int, epochs_before: int) -> None:
    """The loss of a step names epoch and step of its batch."""

    class NamedBatches(BatchLoader):
        def __len__(self) -> int:
            return 24

        def load(self, epoch: int, step: int) -> Batch:
            return np.zeros((2, 1), np.uint8), {"value": np.full((2, 1), 100 * epoch + step + 1, np.float32)}

    losses: list[list[float]] = []

    class LossRecorder(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            losses.append([])

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            mean = float((logs or {})["loss"])  # over the steps so far
            losses[-1].append(round(mean * (batch + 1) - sum(losses[-1])))

    pixel = keras.layers.Input((1,))
    model = keras.Model(pixel, {"value": keras.layers.Dense(1, name="value", kernel_initializer="zeros")(pixel)})
    model.compile(keras.optimizers.SGD(0.0), loss="mean_absolute_error")
    with ThreadPoolExecutor(2) as threads:
        batches, validation = (EpochBatches(NamedBatches(), threads) for _ in range(2))
        history = model.fit(
            batches.for_keras(),
            validation_data=validation.for_keras(),
            initial_epoch=first_epoch,
            epochs=first_epoch + 3,
            shuffle=False,
            verbose=0,
            callbacks=[EpochSetter(batches, epochs_before), LossRecorder()],
        ).history
    first = epochs_before + first_epoch
    assert losses == [[100 * epoch + step + 1 for step in range(24)] for epoch in range(first, first + 3)]
    assert history["val_loss"] == pytest.approx([12.5] * 3)


class BrokenLoader(BatchLoader):
    """Fails in step 2 of every epoch."""

    def __len__(self) -> int:
        return 4

    def load(self, epoch: int, step: int) -> Batch:
        if step == 2:
            raise BoxlineError(f"The shard of epoch {epoch} is damaged.")
        return np.zeros((1, 4, 4, 1), np.uint8), {"value": np.zeros((1, 1), np.float32)}


def test_error_of_a_loader_reaches_the_user_unchanged(
    shards: tuple[Shards, Shards], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.training.fit.ShardLoader", lambda *_: BrokenLoader())
    with pytest.raises(BoxlineError) as raised:
        run(shards, train_config(), tmp_path)
    assert str(raised.value) == "The shard of epoch 0 is damaged."
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
