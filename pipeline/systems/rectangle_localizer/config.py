"""The rectangle localizer's own sections of params.yaml."""

from typing import Literal

from pipeline.core.config import Config


class TargetsConfig(Config, frozen=True):
    """Nothing to choose: one box per image."""


class ModelConfig(Config, frozen=True):
    """endless: train on rectangles drawn anew in every step, as published, instead of on the packed ones.

    The frozen layers then have to look at every image, whereas the packed ones are looked at once.

    output: what the dense layer ends with. "sigmoid", as published, and "hard_sigmoid" answer from 0 to 1 and learn by
    binary cross-entropy; "linear" can answer anything and learns by squared error.
    """

    endless: bool
    output: Literal["sigmoid", "hard_sigmoid", "linear"]
