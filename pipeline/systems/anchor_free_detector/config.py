"""The centre detector's own sections of params.yaml."""

from typing import Annotated

from msgspec import Meta

from pipeline.core.config import Config, NonNegativeInt, PositiveInt


class StageConfig(Config, frozen=True):
    """One halving of the image: its filters, and how many residual blocks follow."""

    filters: PositiveInt
    blocks: NonNegativeInt


class TargetsConfig(Config, frozen=True):
    """max_boxes: boxes kept of each image, the largest first; shorter lists are padded."""

    max_boxes: PositiveInt


class ModelConfig(Config, frozen=True):
    """stages: of the backbone. The third and the following ones, of stride 8, 16 ..., become levels of the pyramid.
    pyramid_filters: of every level.
    topk: cells at most that are assigned to one object during training.
    """

    stages: Annotated[tuple[StageConfig, ...], Meta(min_length=3)]
    pyramid_filters: PositiveInt
    topk: PositiveInt
