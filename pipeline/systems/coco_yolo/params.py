"""COCO YOLO's own sections of params.yaml."""

from typing import Literal

from pipeline.params import PositiveInt, Section, Share
from pipeline.systems.params import BACKBONE_FILES

PARTS = ("all",)
PRESET_FILES = BACKBONE_FILES


class Targets(Section, frozen=True):
    """grid_size: cells per side. max_boxes: trained on are images with at most that many boxes; null for all.

    crowd: "encode" takes a crowd region for an object like any other, as published; "ignore" asks nothing of the cells
        that it touches, but for those that hold the centre of an object.
    """

    grid_size: PositiveInt
    max_boxes: PositiveInt | None
    crowd: Literal["encode", "ignore"] = "encode"


class Model(Section, frozen=True):
    """The published network has conv_filters 512, dense_units 2048 and dropout 0.5 behind a ResNet-50."""

    conv_filters: PositiveInt
    dense_units: PositiveInt
    dropout: Share
