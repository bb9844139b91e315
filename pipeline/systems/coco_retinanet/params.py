"""RetinaNet's own sections of params.yaml."""

from pipeline.params import PositiveInt, Section

PARTS = ("all",)


class Targets(Section, frozen=True):
    """max_boxes: boxes kept of each image, the largest first; shorter lists are padded."""

    max_boxes: PositiveInt


class Model(Section, frozen=True):
    """Nothing to choose: the preset brings the architecture."""
