"""One class and one box per example.

`class_prediction` int32 [1] counts the classes from 0; `bbox_prediction` float32 [4] holds fractions of the image in
the order of the published CSV: x_min, x_max, y_min, y_max.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import xywh_to_xyxy, xyxy_to_xywh
from pipeline.geometry.labeled_boxes import LabeledBoxes, one_per_image
from pipeline.systems.common.example_selection import medoid_object
from pipeline.systems.common.interfaces import NamedArrays, TargetCodec
from pipeline.systems.snack_localizer.config import TargetsConfig

ORDER = [0, 2, 1, 3]
"""From x_min, y_min, x_max, y_max to x_min, x_max, y_min, y_max, and back."""


class SnackCodec(TargetCodec[TargetsConfig]):
    """Encodes one box per example; an image may yield several examples."""

    task = "localization"

    def select_examples(
        self, ground_truth: LabeledBoxes, config: TargetsConfig, *, training: bool
    ) -> list[NDArray[np.int64]]:
        """Select every box as an example of its own, or the medoid box; for evaluation always the medoid."""
        if training and config.examples == "per_box":
            return list(np.flatnonzero(~ground_truth.is_crowd)[:, None])
        return medoid_object(ground_truth)

    def encode(self, ground_truth: LabeledBoxes, config: TargetsConfig) -> dict[str, NDArray[Any]]:
        """`class_prediction` int32 [1] and `bbox_prediction` float32 [4]."""
        corners = xywh_to_xyxy(ground_truth.boxes_rel_xywh)[0]
        return {
            "class_prediction": ground_truth.labels.astype(np.int32),
            "bbox_prediction": corners[ORDER].astype(np.float32),
        }

    def oracle_outputs(self, targets: NamedArrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """`class_prediction` as probabilities [B, num_labels]; `bbox_prediction` as it is."""
        probabilities = np.eye(num_labels)[targets["class_prediction"][:, 0]]
        return {"class_prediction": probabilities, "bbox_prediction": targets["bbox_prediction"]}

    def decode(self, outputs: NamedArrays) -> list[LabeledBoxes]:
        """One box per image; its score is the class probability. The linear head can predict an inverted box."""
        probabilities = self.class_probabilities(outputs)
        boxes_rel_xywh = xyxy_to_xywh(np.asarray(outputs["bbox_prediction"], np.float64)[:, ORDER])
        return one_per_image(boxes_rel_xywh, probabilities.argmax(axis=1), probabilities.max(axis=1, initial=0))

    def class_probabilities(self, outputs: NamedArrays) -> NDArray[np.float64]:
        """`class_prediction` as it is, [B, num_labels]; each row sums to 1."""
        return np.asarray(outputs["class_prediction"], np.float64)
