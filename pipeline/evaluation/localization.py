"""Localizers, which predict one box and one class per image: class accuracy and IoU."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_scale_of, without_crowds
from pipeline.evaluation.config import ScorerName
from pipeline.evaluation.task import Task
from pipeline.geometry.boxes import Boxes, paired_iou, xywh_to_xyxy
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
    image_schema = schema.LOCALIZER_IMAGES

    def score(self, ground_truth: Tables, detections: pa.Table) -> dict[str, float | None]:
        """`accuracy` of the class, `mean_iou`, and the fractions of boxes with an IoU above 0.5 and 0.6."""
        matches = match_boxes(ground_truth, detections, self.scorer)
        values = {
            "accuracy": matches.correct,
            "mean_iou": matches.ious,
            "iou_50": matches.ious > 0.5,
            "iou_60": matches.ious > 0.6,
        }
        return {name: float(value.mean()) if len(value) else None for name, value in values.items()}

    def constant_baseline(self, train: Tables, ground_truth: Tables) -> pa.Table:
        """The mean training box, in fractions of the image, and the most frequent category for every image.

        Without a training box there is no prediction.
        """
        boxes = without_crowds(train.boxes)
        if not boxes.num_rows:
            return schema.DETECTIONS.empty_table()
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

        return analyze_errors(ground_truth, detections, self.scorer)

    def plot_predictions(
        self, folder: Path, images: "PredictedImages", class_probabilities: NDArray[Any] | None
    ) -> None:
        """`predictions.png`: the first nine images with true and predicted box, class, score and IoU.

        `probabilities.png`, for systems that predict classes: the same images next to the probability of each class,
        without those that have no true class.
        """
        from pipeline.plots.localization import save_localizations, save_probabilities

        images = images.first(PLOTTED_PREDICTIONS)
        save_localizations(folder / "predictions.png", images)
        if class_probabilities is not None:
            with_box = [index for index, boxes in enumerate(images.ground_truth) if len(boxes)]
            if with_box:
                save_probabilities(
                    folder / "probabilities.png",
                    [images.pixels[index] for index in with_box],
                    [int(images.ground_truth[index].labels[0]) for index in with_box],
                    class_probabilities[with_box],
                    images.names,
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


def match_boxes(ground_truth: Tables, detections: pa.Table, scorer: ScorerName = "hotcoco") -> Matches:
    """Compare every true box that is no crowd region with the prediction of its image.

    In an image with several true boxes the one prediction is compared with each of them. An inverted box has IoU 0.

    Args:
        ground_truth: the scored images with their boxes.
        detections: a table with schema.DETECTIONS and at most one row per image.
        scorer: "pycocotools" computes the IoU by `pycocotools.mask`, anything else by `paired_iou`.

    """
    boxes = without_crowds(ground_truth.boxes)
    detection_rows = pc.index_in(boxes["image_id"], value_set=detections["image_id"].combine_chunks())
    with_prediction = np.flatnonzero(detection_rows.is_valid().to_numpy())
    predictions = detections.take(detection_rows.drop_null())
    predicted_boxes = boxes.take(with_prediction)
    count = boxes.num_rows
    ious, correct, scores = np.zeros(count), np.zeros(count, bool), np.full(count, -np.inf)
    compute_ious = _ious_by_pycocotools if scorer == "pycocotools" else _ious
    ious[with_prediction] = compute_ious(boxes_xywh_of(predictions), boxes_xywh_of(predicted_boxes))
    correct[with_prediction] = predictions["category_id"].to_numpy() == predicted_boxes["category_id"].to_numpy()
    scores[with_prediction] = predictions["score"].to_numpy()
    return Matches(ious, correct, scores)


def _ious(predicted_xywh: Boxes, true_xywh: Boxes) -> NDArray[np.float64]:
    """The IoU of each prediction with the true box of the same row, float64 [N]."""
    return paired_iou(xywh_to_xyxy(predicted_xywh), xywh_to_xyxy(true_xywh))


def _ious_by_pycocotools(predicted_xywh: Boxes, true_xywh: Boxes) -> NDArray[np.float64]:
    """The same by an independent implementation."""
    from pycocotools import mask

    pairs = zip(predicted_xywh[:, None], true_xywh[:, None], strict=True)
    return np.array([mask.iou(predicted, true, [0])[0, 0] for predicted, true in pairs], np.float64)
