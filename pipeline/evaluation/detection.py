"""Detectors, which predict any number of boxes per image: COCO's average precision."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core import schema
from pipeline.datasets.annotations import Tables, boxes_xywh_of, image_scale_of
from pipeline.evaluation.coco_scorer import CocoScene, get_scorer
from pipeline.evaluation.task import Task
from pipeline.geometry.boxes import as_boxes
from pipeline.inference.detections import detections_table
from pipeline.systems.common.detectors import MAX_DETECTIONS

if TYPE_CHECKING:
    from pipeline.evaluation.error_analysis import ErrorAnalysis
    from pipeline.plots.image_grid import PredictedImages


class DetectionTask(Task):
    """COCO's average precision. Crowd regions are ignored, and so are categories without a box."""

    primary_metric = "AP"
    image_schema = schema.DETECTOR_IMAGES

    def score(self, ground_truth: Tables, detections: pa.Table) -> dict[str, float | None]:
        """`AP` (mean over IoU 0.50 to 0.95), `AP50` and `AP75`, over all images of `ground_truth`."""
        metrics = get_scorer(self.scorer).evaluate(CocoScene.of(ground_truth, detections)).metrics
        return {name: metrics[name] for name in ("AP", "AP50", "AP75")}

    def constant_baseline(self, train: Tables, ground_truth: Tables) -> pa.Table:
        """The same boxes for every image: the median training box of each category, in fractions of the image.

        The score of a box is the fraction of training images with its category, so frequent categories rank first.
        Without a training box there is none.
        """
        boxes_rel_xywh = boxes_xywh_of(train.boxes) / image_scale_of(train.boxes, train.images)
        box_category_ids = train.boxes["category_id"].to_numpy()
        image_counts = (
            train.boxes.select(["category_id", "image_id"])
            .group_by("category_id")
            .aggregate([("image_id", "count_distinct")])
            .sort_by("category_id")
        )
        frequencies = image_counts["image_id_count_distinct"].to_numpy() / max(1, train.images.num_rows)
        most_frequent = np.argsort(-frequencies, kind="stable")[:MAX_DETECTIONS]
        category_ids = image_counts["category_id"].to_numpy()[most_frequent]
        medians = as_boxes([np.median(boxes_rel_xywh[box_category_ids == one], axis=0) for one in category_ids])
        num_images = ground_truth.images.num_rows
        images = ground_truth.images.take(np.repeat(np.arange(num_images), len(category_ids)))
        return detections_table(
            images["image_id"].to_numpy(),
            np.tile(category_ids, num_images),
            np.tile(medians, (num_images, 1)) * image_scale_of(images, ground_truth.images),
            np.tile(frequencies[most_frequent], num_images),
        )

    def analyze_errors(self, ground_truth: Tables, detections: pa.Table) -> "ErrorAnalysis":
        """Errors by TIDE's types, and AP by class and size."""
        from pipeline.evaluation.detection_errors import analyze_errors

        return analyze_errors(ground_truth, detections, self.scorer)

    def plot_predictions(
        self, folder: Path, images: "PredictedImages", class_probabilities: NDArray[Any] | None
    ) -> None:
        """`predictions.png`: every image, predictions in class colors above the dashed ground truth."""
        from pipeline.plots.image_grid import save_detections

        save_detections(folder / "predictions.png", images)

    def plot_errors(self, path: Path, analysis: "ErrorAnalysis") -> None:
        """AP50 lost to each error type, precision, recall and F1 by threshold, AP by size and class."""
        from pipeline.evaluation.detection_errors import error_panels
        from pipeline.plots.panels import save_panels

        save_panels(path, error_panels(analysis.report))

    def plot_worst_images(self, path: Path, images: "PredictedImages") -> None:
        """Predictions in class colors above the dashed ground truth, as in `predictions.png`."""
        from pipeline.plots.image_grid import save_detections

        save_detections(path, images)
