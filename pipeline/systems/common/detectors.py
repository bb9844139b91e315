"""What the codecs of detectors have in common."""

from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.core.config import Config
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.systems.common.interfaces import TargetCodec
from pipeline.systems.common.labels import category_ids_as_labels

MAX_DETECTIONS = 100
"""COCO's limit of detections per image; further ones are not scored."""


class CrowdConfig(Config):
    """Options of the targets of a `CategoryIdCodec`.

    Attributes:
        crowd: "encode" treats a crowd region like any other object; "ignore" excludes it and what it covers from the
            loss.

    """

    crowd: Literal["encode", "ignore"]


CrowdConfigT = TypeVar("CrowdConfigT", bound=CrowdConfig)


class CategoryIdCodec(TargetCodec[CrowdConfigT]):
    """Base of codecs whose labels are COCO's category ids and whose treatment of crowd regions is an option."""

    task = "detection"

    def label_to_category_id(self, category_ids: list[int]) -> NDArray[np.int32]:
        """Labels are category ids, 0 is background."""
        return category_ids_as_labels(category_ids)

    def object_mask(self, ground_truth: LabeledBoxes, config: CrowdConfigT) -> NDArray[np.bool_]:
        """Every box, or with `crowd: ignore` every box that is not a crowd region."""
        return ~ground_truth.is_crowd if config.crowd == "ignore" else np.ones(len(ground_truth), bool)
