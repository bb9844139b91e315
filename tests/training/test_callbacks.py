import keras
import pytest

from pipeline.training.callbacks import ReduceOnPlateau
from pipeline.training.checkpoint import TrainingState
from pipeline.training.config import PlateauConfig

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("restarted", [False, True])
def test_plateau_lowers_the_rate_whenever_its_patience_runs_out(restarted: bool) -> None:
    """Also if the training is interrupted and resumed before every epoch."""
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(8.0), loss="mean_squared_error")
    plateau, state, rates = PlateauConfig(patience=2, factor=0.5), TrainingState(), []
    #         best  best  1    best     1    2    1    2    best
    losses = [5.0, 4.0, 4.0, 3.99999, 4.0, 4.5, 4.0, 4.0, 3.0]
    for epoch, loss in enumerate(losses):
        if epoch == 0 or restarted:
            callback = ReduceOnPlateau(plateau, state)
            callback.set_model(model)
            callback.on_train_begin()
        callback.on_epoch_end(epoch, {"val_loss": loss})
        callback.save_state(state)
        rates.append(float(model.optimizer.learning_rate))
    assert rates == [8.0, 8.0, 8.0, 8.0, 8.0, 4.0, 4.0, 2.0, 2.0]
    assert state.plateau == {"score": 3.0, "wait": 0}
