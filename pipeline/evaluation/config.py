"""The `evaluate` section of a system in params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.config import Config, Fraction

ScorerName = Literal["hotcoco", "pycocotools"]

MAX_PLOTTED_IMAGES = 400
"""More tiles would exceed the largest figure that can be drawn."""


class EvaluateConfig(Config):
    """What is scored and plotted.

    Attributes:
        split: the images that are scored, never those of the training.
        plotted_images: how many of them are plotted, evenly spaced over the split, the same in every run; at most
            MAX_PLOTTED_IMAGES.
        score_threshold: plots omit boxes with a lower score. Scores count every box.
        scorer: the library that computes COCO's scores of a detector, and the IoU of a localizer: `hotcoco` for a
            localizer means Boxline's own IoU. Both give the same scores to 1e-12; pycocotools is far slower.

    """

    split: Literal["val", "test"]
    plotted_images: Annotated[int, Field(ge=1, le=MAX_PLOTTED_IMAGES)]
    score_threshold: Fraction
    scorer: ScorerName = "hotcoco"
