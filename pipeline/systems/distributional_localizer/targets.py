"""One class and one box per image: `label` int32 [1] counts the classes from 0, `edges` float32 [4] holds left, right,
top and bottom as fractions of the image.

The model predicts each edge as probabilities of evenly spaced positions from 0 to 1, [4, positions]; the edge is their
mean. If an image has several boxes, the one that overlaps the others most is used.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.geometry.boxes import xywh_to_xyxy, xyxy_to_xywh
from pipeline.geometry.labeled_boxes import LabeledBoxes, one_per_image
from pipeline.systems.common.example_selection import medoid_object
from pipeline.systems.common.interfaces import NamedArrays, TargetCodec
from pipeline.systems.distributional_localizer.config import TargetsConfig

ORDER = [0, 2, 1, 3]
"""From left, top, right, bottom to left, right, top, bottom, and back."""


class EdgeCodec(TargetCodec[TargetsConfig]):
    """Encodes the four edges of one box."""

    task = "localization"

    def select_examples(
        self, ground_truth: LabeledBoxes, config: TargetsConfig, *, training: bool
    ) -> list[NDArray[np.int64]]:
        """Select the medoid box, in training and evaluation alike, so that no image has contradictory targets."""
        return medoid_object(ground_truth)

    def encode(self, ground_truth: LabeledBoxes, config: TargetsConfig) -> dict[str, NDArray[Any]]:
        """`label` int32 [1] and `edges` float32 [4]."""
        corners = xywh_to_xyxy(ground_truth.boxes_rel_xywh)[0]
        return {"label": ground_truth.labels.astype(np.int32), "edges": corners[ORDER].astype(np.float32)}

    def oracle_outputs(self, targets: NamedArrays, num_labels: int) -> dict[str, NDArray[Any]]:
        """`label` as probabilities [B, num_labels]; `edges` as probabilities of the positions 0 and 1, [B, 4, 2]."""
        edges = np.asarray(targets["edges"], np.float64)
        return {"label": np.eye(num_labels)[targets["label"][:, 0]], "edges": np.stack([1 - edges, edges], axis=-1)}

    def decode(self, outputs: NamedArrays) -> list[LabeledBoxes]:
        """One box per image; its score is the class probability."""
        probabilities = self.class_probabilities(outputs)
        edges = np.asarray(outputs["edges"], np.float64)
        boxes_rel_xywh = xyxy_to_xywh((edges @ np.linspace(0, 1, edges.shape[-1]))[:, ORDER])
        return one_per_image(boxes_rel_xywh, probabilities.argmax(axis=1), probabilities.max(axis=1, initial=0))

    def class_probabilities(self, outputs: NamedArrays) -> NDArray[np.float64]:
        """[B, num_labels], each row sums to 1. A model of one class has no output `label`."""
        return np.asarray(outputs["label"], np.float64) if "label" in outputs else np.ones((len(outputs["edges"]), 1))
