"""Localizers, which predict one box and one class per image: class accuracy and IoU."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_scale_of, without_crowds
from pipeline.evaluation.task import Task
from pipeline.geometry.boxes import paired_iou, xywh_to_xyxy
from pipeline.inference.detections import detections_table

if TYPE_CHECKING:
    from pipeline.evaluation.error_analysis import ErrorAnalysis
    from pipeline.plots.image_grid import PredictedImages

PLOTTED_PREDICTIONS = 9
"""Three rows of three: more would make the captions too small."""


class LocalizationTask(Task):
    """Class accuracy and IoU over all true boxes that are no crowd regions.

    A box in an image without a prediction has a wrong class and IoU 0.
    """

    primary_metric = "mean_iou"

    def score(self, ground_truth: Tables, detections: pa.Table) -> dict[str, float]:
        """`accuracy` of the class, `mean_iou`, and the fractions of boxes with an IoU above 0.5 and 0.6."""
        matches = match_boxes(ground_truth, detections)
        return {
            "accuracy": float(matches.correct.mean()),
            "mean_iou": float(matches.ious.mean()),
            "iou_50": float((matches.ious > 0.5).mean()),
            "iou_60": float((matches.ious > 0.6).mean()),
        }

    def constant_baseline(self, train: Tables, ground_truth: Tables) -> pa.Table:
        """The mean training box, in fractions of the image, and the most frequent category for every image."""
        boxes = without_crowds(train.boxes)
        boxes_rel_xywh = boxes_xywh_of(boxes) / image_scale_of(boxes, train.images)
        category_ids, counts = np.unique(boxes["category_id"].to_numpy(), return_counts=True)
        images = ground_truth.images
        return detections_table(
            images["image_id"].to_numpy(),
            np.full(images.num_rows, category_ids[np.argmax(counts)]),
            boxes_rel_xywh.mean(axis=0) * image_scale_of(images, images),
            np.ones(images.num_rows),
        )

    def analyze_errors(self, ground_truth: Tables, detections: pa.Table) -> "ErrorAnalysis":
        """Wrong boxes and wrong classes, and mean IoU by class and size."""
        from pipeline.evaluation.localization_errors import analyze_errors

        return analyze_errors(ground_truth, detections)

    def plot_predictions(
        self, folder: Path, images: "PredictedImages", class_probabilities: NDArray[Any] | None
    ) -> None:
        """`predictions.png`: the first nine images with true and predicted box, class, score and IoU.

        `probabilities.png`, for systems that predict classes: the same images next to the probability of each class.
        """
        from pipeline.plots.localization import save_localizations, save_probabilities

        images = images.first(PLOTTED_PREDICTIONS)
        save_localizations(folder / "predictions.png", images)
        if class_probabilities is not None:
            true_labels = [int(boxes.labels[0]) for boxes in images.ground_truth]
            probabilities = class_probabilities[: len(images)]
            save_probabilities(
                folder / "probabilities.png", images.model_inputs, true_labels, probabilities, images.names
            )

    def plot_errors(self, path: Path, analysis: "ErrorAnalysis") -> None:
        """Correct and wrong predictions, accuracy and IoU by threshold, mean IoU by size and class."""
        from pipeline.evaluation.localization_errors import error_panels
        from pipeline.plots.panels import save_panels

        save_panels(path, error_panels(analysis.report))

    def plot_worst_images(self, path: Path, images: "PredictedImages") -> None:
        """True and predicted box, class, score and IoU of each image, as in `predictions.png`."""
        from pipeline.plots.localization import save_localizations

        save_localizations(path, images)


@dataclass(frozen=True)
class Matches:
    """Each of N true boxes compared with the prediction of its image.

    Attributes:
        ious: float64 [N], 0..1; 0 without a prediction.
        correct: bool [N], whether the predicted class is the true one; False without a prediction.
        scores: float64 [N], of the prediction; -inf without one, below every threshold.

    """

    ious: NDArray[np.float64]
    correct: NDArray[np.bool_]
    scores: NDArray[np.float64]


def match_boxes(ground_truth: Tables, detections: pa.Table) -> Matches:
    """Compare every true box that is no crowd region with the prediction of its image.

    In an image with several true boxes the one prediction is compared with each of them. An inverted box has IoU 0.

    Args:
        ground_truth: the scored images with their boxes.
        detections: a table with schema.DETECTIONS and at most one row per image.

    """
    boxes = without_crowds(ground_truth.boxes)
    detection_rows = pc.index_in(boxes["image_id"], value_set=detections["image_id"].combine_chunks())
    with_prediction = np.flatnonzero(detection_rows.is_valid().to_numpy())
    predictions = detections.take(detection_rows.drop_null())
    predicted_boxes = boxes.take(with_prediction)
    count = boxes.num_rows
    ious, correct, scores = np.zeros(count), np.zeros(count, bool), np.full(count, -np.inf)
    ious[with_prediction] = paired_iou(
        xywh_to_xyxy(boxes_xywh_of(predictions)), xywh_to_xyxy(boxes_xywh_of(predicted_boxes))
    )
    correct[with_prediction] = predictions["category_id"].to_numpy() == predicted_boxes["category_id"].to_numpy()
    scores[with_prediction] = predictions["score"].to_numpy()
    return Matches(ious, correct, scores)
