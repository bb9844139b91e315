"""The sections of params.yaml that belong to COCO YOLO."""

from typing import Literal

from pipeline.core.config import Config, Fraction, PositiveInt
from pipeline.systems.common.detectors import CrowdConfig


class TargetsConfig(CrowdConfig):
    """Options of the targets. Published: grid_size 6, max_boxes 4, tie_break last, boxes_per_cell 1, crowd encode.

    Attributes:
        grid_size: cells per side.
        max_boxes: images with more boxes are excluded from the training; None for no limit.
        tie_break: which box a cell gets if it touches several, or contains several centers: the "last" one in the order
            of the annotations, or the "smallest" one.
        boxes_per_cell: boxes that a cell can predict. They share the cell's class.
        crowd: "encode" treats a crowd region like any other object; "ignore" excludes the cells that it touches from
            the loss, except those that contain the center of an object.

    """

    grid_size: PositiveInt
    max_boxes: PositiveInt | None
    tie_break: Literal["last", "smallest"]
    boxes_per_cell: PositiveInt


class ModelConfig(Config):
    """Options of the network. Published: conv_filters 512, dense_units 2048 and dropout 0.5, on a ResNet-50."""

    conv_filters: PositiveInt
    dense_units: PositiveInt
    dropout: Fraction
