"""The sections of params.yaml that belong to RetinaNet."""

from typing import Annotated

from pydantic import Field

from pipeline.core.config import Config, PositiveInt
from pipeline.systems.common.detectors import CrowdConfig


class TargetsConfig(CrowdConfig):
    """Options of the targets.

    Attributes:
        max_boxes: boxes kept of each image, the largest first; shorter lists are padded.
        crowd: "encode" treats a crowd region like any other object; "ignore" matches it with no anchor, and excludes
            unmatched anchors from the loss if at least half of their area lies in it.

    """

    max_boxes: PositiveInt


class ModelConfig(Config):
    """Options of the network, whose architecture comes with the pretrained weights.

    Attributes:
        class_prior: probability of every class before training, as in the RetinaNet paper. None keeps the pretrained
            class head if its number of labels fits, else initializes a new one as KerasHub does, at 0.5 with noise.

    """

    class_prior: Annotated[float, Field(gt=0, lt=1)] | None
