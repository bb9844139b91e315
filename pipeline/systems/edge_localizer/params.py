"""The edge localizer's own sections of params.yaml."""

from typing import Annotated

from msgspec import Meta

from pipeline.params import PositiveInt, Section, Share
from pipeline.systems.params import NO_FILES

PARTS = ("all",)
PRESET_FILES = NO_FILES

Widths = Annotated[tuple[PositiveInt, ...], Meta(min_length=1)]


class Targets(Section, frozen=True):
    """Nothing to choose: one class and one box per image."""


class Model(Section, frozen=True):
    """filters: of the convolutions that find edges; each halves the image, which the last one's cells have to divide.
    profile_filters: of the convolutions along one axis.
    look_pixels: side of the second look, which the class is read from; there is none where there is one class.
    look_filters: of the second look's convolutions; between two of them the look is halved.
    dropout: before the class.
    """

    filters: Widths
    profile_filters: PositiveInt
    look_pixels: PositiveInt
    look_filters: Widths
    dropout: Share
