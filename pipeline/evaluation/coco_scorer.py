"""COCO's evaluation of boxes: what a scorer receives and yields, whichever library computes it.

Scorers see no ids. Images, boxes and categories are numbered in the order of their ids, and only these numbers go into
a library: libraries keep ids as float64, in which ids above 2^53 are no longer distinct.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.errors import BoxlineError
from pipeline.datasets.annotations import Tables, boxes_xywh_of
from pipeline.evaluation.config import ScorerName
from pipeline.geometry.boxes import Boxes

MATCH_IOU = 0.5
"""The IoU from which a detection matches a box, in everything but AP, which is a mean over several."""

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""COCO's twelve numbers in their order: average precision and recall; s, m and l are sizes, 1 to 100 detections."""

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e5**2)}
"""COCO's ranges of area in square pixels. A box at a limit is in both."""


@dataclass(frozen=True)
class CocoScene:
    """Ground truth and detections of I images with K categories, with row numbers from 0 in place of ids.

    Attributes:
        image_sizes: int64 [I, 2], width and height in pixels, in ascending order of image ids.
        category_ids: int64 [K], ascending: the dataset's ids.
        box_images: int64 [B], the image of each true box, 0 to I - 1.
        box_categories: int64 [B], 0 to K - 1.
        boxes_xywh: float64 [B, 4], pixels.
        areas: float64 [B], square pixels.
        is_crowd: bool [B].
        detection_images: int64 [D], 0 to I - 1.
        detection_categories: int64 [D], 0 to K - 1.
        detections_xywh: float64 [D, 4], pixels.
        scores: float64 [D], 0..1.

    """

    image_sizes: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    box_images: NDArray[np.int64]
    box_categories: NDArray[np.int64]
    boxes_xywh: Boxes
    areas: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    detection_images: NDArray[np.int64]
    detection_categories: NDArray[np.int64]
    detections_xywh: Boxes
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, ground_truth: Tables, detections: pa.Table) -> "CocoScene":
        """Number the rows of tables.

        Args:
            ground_truth: the scored images of one split with their boxes.
            detections: a table with schema.DETECTIONS.

        Raises:
            BoxlineError: if a detection has an image or a category that the ground truth does not have.

        """
        images = ground_truth.images.sort_by("image_id")
        image_ids = images["image_id"].to_numpy()
        category_ids = np.sort(ground_truth.categories["category_id"].to_numpy()).astype(np.int64)
        boxes = ground_truth.boxes
        return cls(
            np.stack([images["width"].to_numpy(), images["height"].to_numpy()], axis=1).astype(np.int64),
            category_ids,
            _rows_of(boxes, "image_id", image_ids, "boxes"),
            _rows_of(boxes, "category_id", category_ids, "boxes"),
            boxes_xywh_of(boxes),
            boxes["area"].to_numpy(),
            boxes["is_crowd"].to_numpy(),
            _rows_of(detections, "image_id", image_ids, "detections"),
            _rows_of(detections, "category_id", category_ids, "detections"),
            boxes_xywh_of(detections),
            detections["score"].to_numpy(),
        )


@dataclass(frozen=True)
class CocoEvaluation:
    """The result of COCO's evaluation of D detections, at most 100 per image and category.

    Attributes:
        metrics: each of METRICS, 0..1; None if there is no box to detect.
        precision: float64 [10, 101, K, 4] by IoU from 0.5 to 0.95, recall from 0 to 1, category, and size (all sizes,
            then SIZES); -1 if there is no box to detect.
        true_positive: bool [D], the detections that match a box at MATCH_IOU.
        false_positive: bool [D], those that match none. A detection that matches a crowd region is neither.

    """

    metrics: dict[str, float | None]
    precision: NDArray[np.float64]
    true_positive: NDArray[np.bool_]
    false_positive: NDArray[np.bool_]


class CocoScorer(ABC):
    """A library that computes COCO's evaluation."""

    @abstractmethod
    def evaluate(self, scene: CocoScene) -> CocoEvaluation:
        """Match detections with boxes, and compute precision and recall. A scene may be empty in every respect."""


def get_scorer(name: ScorerName) -> CocoScorer:
    """The scorer of that name. Only its own library is imported."""
    if name == "hotcoco":
        from pipeline.evaluation.hotcoco_scorer import HotcocoScorer

        return HotcocoScorer()
    from pipeline.evaluation.pycocotools_scorer import PycocotoolsScorer

    return PycocotoolsScorer()


def metrics_by_name(values: NDArray[np.float64]) -> dict[str, float | None]:
    """COCO's twelve numbers by name. COCO gives -1 if there is no box to detect."""
    return {name: None if value == -1 else float(value) for name, value in zip(METRICS, values, strict=True)}


def _rows_of(table: pa.Table, column: str, known_ids: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    """The row of each value of a column among `known_ids`, which are ascending."""
    ids = table[column].to_numpy()
    rows = np.searchsorted(known_ids, ids)
    is_unknown = np.append(known_ids, 0)[rows] != ids
    is_unknown |= rows == len(known_ids)
    if is_unknown.any():
        row = int(is_unknown.argmax())
        raise BoxlineError(
            f"Row {row + 1} of the {what} has {column} {ids[row]}, which the scored data do not have. "
            "`dvc repro` evaluates again after a change of the data."
        )
    return rows.astype(np.int64)
