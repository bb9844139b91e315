"""The centre detector's own sections of params.yaml."""

from typing import Annotated

from msgspec import Meta

from pipeline.core.config import NonNegativeInt, PositiveInt, Config
from pipeline.pretrained.config import NO_FILES

PARTS = ("all",)
PRETRAINED_FILES = NO_FILES


class Stage(Config, frozen=True):
    """One halving of the image: its filters, and how many residual blocks follow."""

    filters: PositiveInt
    blocks: NonNegativeInt


class Targets(Config, frozen=True):
    """max_boxes: boxes kept of each image, the largest first; shorter lists are padded."""

    max_boxes: PositiveInt


class Model(Config, frozen=True):
    """stages: of the backbone. The third and the following ones, of stride 8, 16 ..., become levels of the pyramid.
    pyramid_filters: of every level.
    candidates: cells at most that answer for one object during training.
    """

    stages: Annotated[tuple[Stage, ...], Meta(min_length=3)]
    pyramid_filters: PositiveInt
    candidates: PositiveInt
