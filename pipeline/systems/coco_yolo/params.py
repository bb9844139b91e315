"""COCO YOLO's own sections of params.yaml."""

from typing import Literal

from pipeline.params import PositiveInt, Section, Share


class Targets(Section, frozen=True):
    """grid_size: cells per side. max_boxes: trained on are images with at most that many boxes; null for all."""

    grid_size: PositiveInt
    max_boxes: PositiveInt | None


class Model(Section, frozen=True):
    """The published network has backbone resnet_50, conv_filters 512, dense_units 2048 and dropout 0.5.

    backbone: "resnet_50", or "resnet_small" for a laptop. Both start from random weights; ignored where
        `preset` is given.
    preset: a KerasHub backbone preset instead, by name, handle or folder; null for none.
    """

    backbone: Literal["resnet_50", "resnet_small"]
    preset: str | None
    conv_filters: PositiveInt
    dense_units: PositiveInt
    dropout: Share
