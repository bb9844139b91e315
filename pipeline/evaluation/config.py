"""The `evaluate` section of a system in params.yaml."""

from typing import Literal

from pipeline.core.config import Config, Fraction, PositiveInt


class EvaluateConfig(Config):
    """What is scored and plotted.

    Attributes:
        split: the images that are scored, never those of the training.
        plotted_images: how many of them are plotted, evenly spaced over the split, the same in every run.
        score_threshold: plots omit boxes with a lower score. Scores count every box.

    """

    split: Literal["val", "test"]
    plotted_images: PositiveInt
    score_threshold: Fraction
