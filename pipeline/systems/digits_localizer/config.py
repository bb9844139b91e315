"""The digit localizer's own sections of params.yaml."""

from pipeline.core.config import Config, Fraction, PositiveInt


class TargetsConfig(Config, frozen=True):
    """Nothing to choose: one class and one box per image."""


class ModelConfig(Config, frozen=True):
    """The published network has filters [32, 32, 64], box_units [64, 32] and dropout 0.3."""

    filters: tuple[PositiveInt, PositiveInt, PositiveInt]
    box_units: tuple[PositiveInt, ...]
    dropout: Fraction
