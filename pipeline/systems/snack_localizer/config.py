"""The snack localizer's own sections of params.yaml."""

from typing import Literal

from pipeline.core.config import Config, Fraction, NonNegativeFloat, PositiveInt


class TargetsConfig(Config, frozen=True):
    """rows: what an image with several boxes teaches.

    "every" makes each box an example of its own, as published, and trains one image towards contradictory answers;
    "one" takes the box that overlaps the image's others most.
    """

    rows: Literal["every", "one"]


class ModelConfig(Config, frozen=True):
    """The published network has dropout 0.7, class_l2 0.01 and box_filters 512."""

    dropout: Fraction
    class_l2: NonNegativeFloat
    box_filters: PositiveInt
