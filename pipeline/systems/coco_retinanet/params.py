"""RetinaNet's own sections of params.yaml."""

from pipeline.params import PositiveInt, Section
from pipeline.systems.params import DETECTOR_FILES

PARTS = ("all",)
PRESET_FILES = DETECTOR_FILES


class Targets(Section, frozen=True):
    """max_boxes: boxes kept of each image, the largest first; shorter lists are padded."""

    max_boxes: PositiveInt


class Model(Section, frozen=True):
    """Nothing to choose: the preset brings the architecture."""
