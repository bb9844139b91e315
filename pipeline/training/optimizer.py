"""The optimizer of a phase: Adam, with the learning rate as a function of the step."""

import keras
from keras.optimizers import schedules

from pipeline.training.config import CosineConfig, PhaseConfig, StepConfig

NOT_DECAYED = ("bias", "gamma", "beta")
"""Names of weights that decay would only pull away from where they belong."""


def adam(phase: PhaseConfig, epoch_steps: int) -> keras.optimizers.Adam:
    """Keras's Adam, which with weight decay is AdamW.

    It counts its steps itself, so a training that goes on from saved variables goes on with the same rates.
    """
    optimizer = keras.optimizers.Adam(
        _learning_rate(phase, epoch_steps), weight_decay=phase.weight_decay, global_clipnorm=phase.clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def _learning_rate(phase: PhaseConfig, epoch_steps: int) -> float | schedules.LearningRateSchedule:
    """As a number where it stays, or where a callback changes it."""
    rate, schedule = phase.learning_rate, phase.schedule
    if isinstance(schedule, StepConfig):
        drops = phase.epochs // schedule.every_epochs + 1  # the last one comes too late: Keras takes no empty list
        last_steps = [number * schedule.every_epochs * epoch_steps - 1 for number in range(1, drops + 1)]
        return schedules.PiecewiseConstantDecay(
            last_steps, [rate * schedule.factor**number for number in range(drops + 1)]
        )
    if isinstance(schedule, CosineConfig):
        warmup_steps = int(schedule.warmup_epochs * epoch_steps)
        decay_steps = phase.epochs * epoch_steps - warmup_steps
        if not warmup_steps:
            return schedules.CosineDecay(rate, decay_steps, schedule.final_lr_fraction)
        return schedules.CosineDecay(
            0.0, decay_steps, schedule.final_lr_fraction, warmup_target=rate, warmup_steps=warmup_steps
        )
    return rate
