"""COCO YOLO's own sections of params.yaml."""

from typing import Literal

from pipeline.core.config import Config, Fraction, PositiveInt


class TargetsConfig(Config, frozen=True):
    """The published targets have grid_size 6, max_boxes 4, overlap later, boxes_per_cell 1 and crowd encode.

    grid_size: cells per side.
    max_boxes: trained on are images with at most that many boxes; null for all.
    overlap: which box wins where several touch a cell, or have their centres in it: the "later" or the "smaller" one.
    boxes_per_cell: boxes that a cell can answer. They share the cell's class.
    crowd: "encode" takes a crowd region for an object like any other; "ignore" asks nothing of the cells that it
        touches, but for those that hold the centre of an object.
    """

    grid_size: PositiveInt
    max_boxes: PositiveInt | None
    overlap: Literal["later", "smaller"]
    boxes_per_cell: PositiveInt
    crowd: Literal["encode", "ignore"]


class ModelConfig(Config, frozen=True):
    """The published network has conv_filters 512, dense_units 2048 and dropout 0.5 behind a ResNet-50."""

    conv_filters: PositiveInt
    dense_units: PositiveInt
    dropout: Fraction
