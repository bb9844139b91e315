"""The edge localizer's own sections of params.yaml."""

from typing import Annotated

from msgspec import Meta

from pipeline.core.config import PositiveInt, Config, Fraction
from pipeline.pretrained.config import NO_FILES

PARTS = ("all",)
PRETRAINED_FILES = NO_FILES

Widths = Annotated[tuple[PositiveInt, ...], Meta(min_length=1)]


class Targets(Config, frozen=True):
    """Nothing to choose: one class and one box per image."""


class Look(Config, frozen=True):
    """pixels: side of the square that the found box is scaled to.
    filters: of its convolutions; between two of them the look is halved.
    dropout: before the class.
    """

    pixels: PositiveInt
    filters: Widths
    dropout: Fraction


class Model(Config, frozen=True):
    """filters: of the convolutions that find edges; each halves the image, which the last one's cells have to divide.
    profile_filters: of the convolutions along one axis.
    look: the second look, which the class is read from; null where there is one class.
    """

    filters: Widths
    profile_filters: PositiveInt
    look: Look | None
