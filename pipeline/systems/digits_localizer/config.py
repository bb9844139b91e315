"""The sections of params.yaml that belong to the digits localizer."""

from typing import Annotated, Literal

from pipeline.core.config import Config, Fraction, PositiveInt, TupleFromList


class TargetsConfig(Config):
    """Has no options: there is one class and one box per image."""


class ModelConfig(Config):
    """Options of the network. The published one has filters [32, 32, 64], box_units [64, 32] and dropout 0.3.

    Attributes:
        filters: filters of the three convolutions.
        box_units: units of the hidden layers of the box head.
        dropout: of the class head.
        pixel_scale: "raw" feeds pixels 0..255 to the first convolution, as published; "unit" divides them by 255.

    """

    filters: Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], TupleFromList]
    box_units: Annotated[tuple[PositiveInt, ...], TupleFromList]
    dropout: Fraction
    pixel_scale: Literal["raw", "unit"] = "raw"
