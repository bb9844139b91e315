"""The distributional localizer's own sections of params.yaml."""

from typing import Annotated

from msgspec import Meta

from pipeline.core.config import Config, Fraction, PositiveInt

Widths = Annotated[tuple[PositiveInt, ...], Meta(min_length=1)]


class TargetsConfig(Config, frozen=True):
    """Nothing to choose: one class and one box per image."""


class CropClassifierConfig(Config, frozen=True):
    """crop_size: side in pixels of the square that the predicted box is scaled to.
    filters: of its convolutions; between two of them the crop is halved.
    dropout: before the class.
    """

    crop_size: PositiveInt
    filters: Widths
    dropout: Fraction


class ModelConfig(Config, frozen=True):
    """filters: of the convolutions that find edges; each halves the image, which the last one's cells have to divide.
    profile_filters: of the convolutions along one axis.
    crop_classifier: predicts the class from the cropped box; null if there is one class.
    """

    filters: Widths
    profile_filters: PositiveInt
    crop_classifier: CropClassifierConfig | None
