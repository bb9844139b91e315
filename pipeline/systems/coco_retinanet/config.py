"""RetinaNet's own sections of params.yaml."""

from typing import Annotated, Literal

from msgspec import Meta

from pipeline.core.config import Config, PositiveInt


class TargetsConfig(Config, frozen=True):
    """max_boxes: boxes kept of each image, the largest first; shorter lists are padded.

    crowd: "encode" takes a crowd region for an object like any other; "ignore" matches it with no anchor, and asks
        nothing of the anchors that lie in it by half or more and match no object.
    """

    max_boxes: PositiveInt
    crowd: Literal["encode", "ignore"]


class ModelConfig(Config, frozen=True):
    """The preset brings the architecture.

    class_prior: the probability that the class head gives every class before training, as the RetinaNet paper has it;
        null for the preset's own head where it has as many labels, else for a new one as KerasHub starts it, at one
        half with noise.
    """

    class_prior: Annotated[float, Meta(gt=0, lt=1)] | None
