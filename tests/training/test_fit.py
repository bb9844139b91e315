import csv
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.errors import BoxlineError
from pipeline.storage.shards import Shards, shard_path, write_shard
from pipeline.training.batches import Batches, EpochOrder
from pipeline.training.fit import fit, make_deterministic
from pipeline.training.params import Train

pytestmark = pytest.mark.slow

COMPILE = {"loss": {"value": "mean_squared_error"}}


@pytest.fixture
def shards(tmp_path: Path) -> tuple[Shards, Shards]:
    """Twenty images whose brightness is their target."""
    ids = np.arange(1, 21)
    pixels = np.broadcast_to((ids * 10).astype(np.uint8)[:, None, None, None], (20, 4, 4, 1))
    write_shard(shard_path(tmp_path, "train", 0), ids, {"image": pixels})
    targets = tmp_path / "targets"
    targets.mkdir()
    write_shard(shard_path(targets, "train", 0), ids, {"value": (ids[:, None] / 20).astype(np.float32)})
    return Shards(tmp_path, "train"), Shards(targets, "train")


def brightness_model() -> keras.Model:
    image = keras.layers.Input((4, 4, 1))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    return keras.Model(image, {"value": keras.layers.Dense(1, name="value")(mean)})


def train(**changes: object) -> Train:
    settings: dict[str, object] = {
        "epochs": 3,
        "batch_size": 4,
        "learning_rate": 0.1,
        "validation_batches": 1,
        "patience": None,
    }
    return Train(**settings | changes)  # type: ignore[arg-type]


def curves_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_run_reports_what_it_took_and_writes_its_curves(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    make_deterministic(1)
    took = fit(brightness_model(), COMPILE, *shards, train(), seed=1, curves=tmp_path / "curves.csv")
    assert {name: took[name] for name in ("images", "held_out_images", "epochs", "parameters")} == {
        "images": 16,
        "held_out_images": 4,
        "epochs": 3,
        "parameters": 2,
    }
    rows = curves_of(tmp_path / "curves.csv")
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["val_loss"]) > 0


def test_the_same_seed_gives_the_same_curves(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    texts = []
    for name in ("a.csv", "b.csv"):
        make_deterministic(4)
        fit(brightness_model(), COMPILE, *shards, train(), seed=4, curves=tmp_path / name)
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]


def test_epoch_seven_has_the_same_order_in_a_run_that_starts_there(shards: tuple[Shards, Shards]) -> None:
    """Seen by a model that answers the mean brightness of its batch: the order shows in its per-batch losses."""

    def losses_of_batches(first_epoch: int) -> list[list[float]]:
        seen: list[list[float]] = []

        class Watch(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
                seen.append([])

            def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
                seen[-1].append(round(float((logs or {})["loss"]), 6))

        batches = Batches(*shards, batch_size=4, seed=3)
        model = brightness_model()
        model.set_weights([np.ones((1, 1)), np.zeros(1)])
        model.compile(keras.optimizers.SGD(0.0), **COMPILE)
        model.fit(
            batches,
            initial_epoch=first_epoch,
            epochs=9,
            shuffle=False,
            verbose=0,
            callbacks=[EpochOrder(batches), Watch()],
        )
        return seen

    whole = losses_of_batches(0)
    assert len({tuple(epoch) for epoch in whole}) == 9
    assert losses_of_batches(7) == whole[7:]


def test_early_stopping_goes_back_to_the_best_weights(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    make_deterministic(1)
    model = brightness_model()
    # Far too large a step: the first epoch is the best one.
    took = fit(model, COMPILE, *shards, train(epochs=50, learning_rate=9.0, patience=2), 1, tmp_path / "curves.csv")
    losses = [float(row["val_loss"]) for row in curves_of(tmp_path / "curves.csv")]
    best = int(np.argmin(losses))
    assert took["epochs"] == best + 3 < 50
    make_deterministic(1)
    again = brightness_model()
    fit(again, COMPILE, *shards, train(epochs=best + 1, learning_rate=9.0), 1, tmp_path / "again.csv")
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])


def test_too_many_held_out_images(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        fit(brightness_model(), COMPILE, *shards, train(validation_batches=5), 1, tmp_path / "curves.csv")
    assert str(raised.value) == (
        "20 images suit training and 5 batches of 4 are held out, so none is left to train on. "
        "Lower train.validation_batches in params.yaml."
    )


@pytest.mark.filterwarnings("ignore:.*NaN.*")
def test_a_loss_that_is_no_number_stops_and_leaves_no_curves(shards: tuple[Shards, Shards], tmp_path: Path) -> None:
    def broken(true, predicted):  # type: ignore[no-untyped-def]
        return keras.ops.sum(keras.ops.log(-1.0 - predicted * predicted), axis=-1)

    with pytest.raises(BoxlineError) as raised:
        fit(brightness_model(), {"loss": {"value": broken}}, *shards, train(), 1, tmp_path / "curves.csv")
    assert str(raised.value) == "loss became nan in epoch 1. Lower train.learning_rate in params.yaml."
    assert not (tmp_path / "curves.csv").exists()
