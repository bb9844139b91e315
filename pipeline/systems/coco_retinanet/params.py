"""RetinaNet's own sections of params.yaml."""

from typing import Literal

from pipeline.params import PositiveInt, Section
from pipeline.systems.params import DETECTOR_FILES

PARTS = ("all",)
PRESET_FILES = DETECTOR_FILES


class Targets(Section, frozen=True):
    """max_boxes: boxes kept of each image, the largest first; shorter lists are padded.

    crowd: "encode" takes a crowd region for an object like any other; "ignore" matches it with no anchor, and asks
        nothing of the anchors that lie in it by half or more and match no object.
    """

    max_boxes: PositiveInt
    crowd: Literal["encode", "ignore"]


class Model(Section, frozen=True):
    """Nothing to choose: the preset brings the architecture."""
