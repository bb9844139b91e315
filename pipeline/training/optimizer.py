"""The optimizer of a phase: Adam, with the learning rate as a function of the step."""

import keras
from keras.optimizers import schedules

from pipeline.training.config import CosineConfig, PhaseConfig, StepConfig

NOT_DECAYED = ("bias", "gamma", "beta")
"""Names of weights without weight decay: biases, and the scale and shift of normalizations."""


def build_optimizer(phase: PhaseConfig, epoch_steps: int) -> keras.optimizers.Adam:
    """Build Keras's Adam, which with weight decay is AdamW.

    The optimizer counts its own steps, so a training that resumes from saved variables continues the same schedule.

    Args:
        phase: the configuration of the phase.
        epoch_steps: steps per epoch.

    """
    optimizer = keras.optimizers.Adam(
        _learning_rate(phase, epoch_steps), weight_decay=phase.weight_decay, global_clipnorm=phase.clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def _learning_rate(phase: PhaseConfig, epoch_steps: int) -> float | schedules.LearningRateSchedule:
    """The schedule, or a number if the rate is constant or a callback changes it."""
    rate, schedule = phase.learning_rate, phase.schedule
    if isinstance(schedule, StepConfig):
        drops = phase.epochs // schedule.every_epochs + 1  # the last one is never reached: Keras needs at least one
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
