"""Learning rates and updates by hand, without a training."""

from typing import Any

import keras
import numpy as np
import pytest

from pipeline.training.config import CosineConfig, PhaseConfig, StepConfig
from pipeline.training.optimizer import build_optimizer

pytestmark = pytest.mark.slow


def rates(phase: PhaseConfig, epoch_steps: int, steps: list[int]) -> list[float]:
    """The optimizer's learning rates at those steps, counted from 0."""
    optimizer = build_optimizer(phase, epoch_steps)
    values = []
    for step in steps:
        optimizer.iterations.assign(step)
        values.append(float(optimizer.learning_rate))
    return values


def test_rate_is_constant_without_schedule() -> None:
    assert rates(PhaseConfig(epochs=2, learning_rate=0.25), 3, [0, 5]) == [0.25, 0.25]


def test_step_schedule_drops_at_the_first_step_of_an_epoch() -> None:
    # Epochs of 3 steps: 0 to 5 are the first two, 6 to 11 the next two.
    phase = PhaseConfig(epochs=5, learning_rate=0.5, schedule=StepConfig(every_epochs=2, factor=0.25))
    assert rates(phase, 3, [0, 5, 6, 11, 12, 14]) == [0.5, 0.5, 0.125, 0.125, 0.03125, 0.03125]


def test_step_schedule_is_constant_before_the_first_drop() -> None:
    phase = PhaseConfig(epochs=2, learning_rate=0.5, schedule=StepConfig(every_epochs=7, factor=0.25))
    assert rates(phase, 3, [0, 5]) == [0.5, 0.5]


def test_cosine_decays_to_the_final_fraction() -> None:
    # 5 epochs of 4 steps. After a quarter: 0.1 + 0.9 x (1 + cos 45 degrees) / 2 of the rate.
    phase = PhaseConfig(epochs=5, learning_rate=0.2, schedule=CosineConfig(warmup_epochs=0.0, final_lr_fraction=0.1))
    expected = [0.2, 0.2 * (0.1 + 0.9 * (1 + 0.5**0.5) / 2), 0.2 * 0.55, 0.02]
    assert rates(phase, 4, [0, 5, 10, 20]) == pytest.approx(expected, rel=1e-6)


def test_warm_up_rises_linearly_from_0() -> None:
    # 1.5 epochs of 4 steps are 6 steps of warm-up; 14 steps of decay follow, of which 7 are half.
    phase = PhaseConfig(epochs=5, learning_rate=0.6, schedule=CosineConfig(warmup_epochs=1.5, final_lr_fraction=0.0))
    assert rates(phase, 4, [0, 1, 5, 6, 13, 20]) == pytest.approx([0.0, 0.1, 0.5, 0.6, 0.3, 0.0], abs=1e-6)


def test_final_fraction_1_is_constant_after_the_warm_up() -> None:
    phase = PhaseConfig(epochs=3, learning_rate=0.6, schedule=CosineConfig(warmup_epochs=0.5, final_lr_fraction=1.0))
    assert rates(phase, 4, [1, 2, 7, 11]) == pytest.approx([0.3, 0.6, 0.6, 0.6])


def updated(gradients: list[list[float]], **options: Any) -> tuple[dict[str, list[float]], list[float]]:
    """One step at rate 0.5 from weights 2 and -4: the new weights by name, and the optimizer's means of gradients."""
    names = ("kernel", "bias", "gamma", "beta")[: len(gradients)]
    weights = [keras.Variable([2.0, -4.0], name=name) for name in names]
    optimizer = build_optimizer(PhaseConfig(epochs=1, learning_rate=0.5, **options), 1)
    optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], weights)
    means = [np.asarray(variable) for variable in optimizer.variables if variable.name.endswith("momentum")]
    return {weight.name: np.asarray(weight).tolist() for weight in weights}, np.concatenate(means).tolist()


def test_weight_decay_excludes_biases_and_normalizations() -> None:
    no_gradients = [[0.0, 0.0]] * 4
    unchanged = {name: [2.0, -4.0] for name in ("kernel", "bias", "gamma", "beta")}
    assert updated(no_gradients)[0] == unchanged
    assert updated(no_gradients, weight_decay=0.25)[0] == {**unchanged, "kernel": [1.75, -3.5]}  # times 1 - 0.5 x 0.25


def test_gradients_are_clipped_by_their_global_norm() -> None:
    gradients = [[3.0, 0.0], [0.0, 4.0]]  # of norm 5
    assert updated(gradients)[1] == pytest.approx([0.3, 0.0, 0.0, 0.4])
    assert updated(gradients, clip_norm=1.0)[1] == pytest.approx([0.06, 0.0, 0.0, 0.08])
    assert updated(gradients, clip_norm=6.0)[1] == pytest.approx([0.3, 0.0, 0.0, 0.4])
