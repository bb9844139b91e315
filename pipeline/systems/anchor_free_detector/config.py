"""The sections of params.yaml that belong to the anchor-free detector."""

from typing import Annotated

from pydantic import Field

from pipeline.core.config import Config, NonNegativeInt, PositiveInt, TupleFromList


class StageConfig(Config):
    """One stage of the backbone: a convolution of stride 2 with `filters`, then `blocks` residual blocks."""

    filters: PositiveInt
    blocks: NonNegativeInt


class TargetsConfig(Config):
    """Options of the targets.

    Attributes:
        max_boxes: boxes kept of each image, the largest first; shorter lists are padded.

    """

    max_boxes: PositiveInt


class ModelConfig(Config):
    """Options of the network.

    Attributes:
        stages: of the backbone. From the third on, of stride 8, 16 ..., they are levels of the feature pyramid.
        pyramid_filters: of every level.
        topk: largest number of cells that are assigned to one object during training.

    """

    stages: Annotated[tuple[StageConfig, ...], TupleFromList, Field(min_length=3)]
    pyramid_filters: PositiveInt
    topk: PositiveInt
