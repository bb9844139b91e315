"""The digit localizer's own sections of params.yaml."""

from pipeline.core.config import PositiveInt, Config, Fraction
from pipeline.pretrained.config import NO_FILES

PARTS = ("all", "boxes")
PRETRAINED_FILES = NO_FILES


class Targets(Config, frozen=True):
    """Nothing to choose: one class and one box per image."""


class Model(Config, frozen=True):
    """The published network has filters [32, 32, 64], box_units [64, 32] and dropout 0.3."""

    filters: tuple[PositiveInt, PositiveInt, PositiveInt]
    box_units: tuple[PositiveInt, ...]
    dropout: Fraction
