"""The sections of params.yaml that belong to the snack localizer."""

from typing import Literal

from pipeline.core.config import Config, Fraction, NonNegativeFloat, PositiveInt


class TargetsConfig(Config):
    """Options of the targets.

    Attributes:
        examples: training examples of an image with several boxes. "per_box" makes each box an example, as published,
            so that one image has contradictory targets; "medoid" uses the box with the largest overlap with the image's
            other boxes.

    """

    examples: Literal["per_box", "medoid"]


class ModelConfig(Config):
    """Options of the network. The published one has dropout 0.7, class_l2 0.01 and box_filters 512."""

    dropout: Fraction
    class_l2: NonNegativeFloat
    box_filters: PositiveInt
