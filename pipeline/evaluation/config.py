"""The `evaluate` section of a system in params.yaml."""

from typing import Literal

from pipeline.core.config import Config, Fraction, PositiveInt


class EvaluateConfig(Config, frozen=True):
    """What is scored and shown.

    split: the images that are scored, never the ones trained on.
    pictures: how many of them are drawn, spread evenly over the split, the same in every run.
    score_threshold: boxes below it are left out of the pictures. Scores count every box.
    """

    split: Literal["val", "test"]
    pictures: PositiveInt
    score_threshold: Fraction
