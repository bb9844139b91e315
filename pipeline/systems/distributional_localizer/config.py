"""The sections of params.yaml that belong to the distributional localizer."""

from typing import Annotated

from pydantic import Field

from pipeline.core.config import Config, Fraction, PositiveInt, TupleFromList

Widths = Annotated[tuple[PositiveInt, ...], TupleFromList, Field(min_length=1)]


class TargetsConfig(Config):
    """Has no options: there is one class and one box per image."""


class CropClassifierConfig(Config):
    """Options of the classifier of the cropped box.

    Attributes:
        crop_size: side in pixels of the square that the predicted box is resized to.
        filters: of its convolutions; the crop is halved between two of them.
        dropout: before the class output.

    """

    crop_size: PositiveInt
    filters: Widths
    dropout: Fraction


class ModelConfig(Config):
    """Options of the network.

    Attributes:
        filters: of the convolutions that find edges. Each halves the image, whose side the last stride must divide.
        profile_filters: of the convolutions along one axis.
        crop_classifier: predicts the class from the cropped box; None for datasets with one class.

    """

    filters: Widths
    profile_filters: PositiveInt
    crop_classifier: CropClassifierConfig | None
