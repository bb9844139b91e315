"""One class and one box per image: `label` int32 [1] counts the classes from 0, `bbox` float32 [4] is rel xyxy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import xywh_to_xyxy, xyxy_to_xywh
from pipeline.geometry.labeled_boxes import LabeledBoxes, one_per_image
from pipeline.systems.common.example_selection import single_object
from pipeline.systems.common.interfaces import NamedArrays, TargetCodec
from pipeline.systems.digits_localizer.config import TargetsConfig


class DigitsCodec(TargetCodec[TargetsConfig]):
    """Encodes the only box of an image."""

    task = "localization"

    def select_examples(
        self, ground_truth: LabeledBoxes, config: TargetsConfig, *, training: bool
    ) -> list[NDArray[np.int64]]:
        """Select images with exactly one box: a localizer predicts one."""
        return single_object(ground_truth)

    def encode(self, ground_truth: LabeledBoxes, config: TargetsConfig) -> dict[str, NDArray[Any]]:
        """`label` int32 [1] and `bbox` float32 [4]."""
        corners = xywh_to_xyxy(ground_truth.boxes_rel_xywh)[0]
        return {"label": ground_truth.labels.astype(np.int32), "bbox": corners.astype(np.float32)}

    def oracle_outputs(self, targets: NamedArrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """`label` as probabilities [B, num_labels]; `bbox` as it is."""
        return {"label": np.eye(num_labels)[targets["label"][:, 0]], "bbox": targets["bbox"]}

    def decode(self, outputs: NamedArrays) -> list[LabeledBoxes]:
        """One box per image; its score is the class probability."""
        probabilities = self.class_probabilities(outputs)
        boxes_rel_xywh = xyxy_to_xywh(outputs["bbox"])
        return one_per_image(boxes_rel_xywh, probabilities.argmax(axis=1), probabilities.max(axis=1, initial=0))

    def class_probabilities(self, outputs: NamedArrays) -> NDArray[np.float64]:
        """`label` as it is, [B, num_labels]; each row sums to 1."""
        return np.asarray(outputs["label"], np.float64)
