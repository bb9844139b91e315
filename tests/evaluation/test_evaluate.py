"""The evaluation pass with a predictor that counts its calls."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evaluation.detection import DetectionTask
from pipeline.evaluation.evaluate import evaluate_model, predict_split
from pipeline.evaluation.localization import LocalizationTask
from pipeline.evaluation.plots import write_prediction_plots
from pipeline.evaluation.split import ScoredSplit
from pipeline.evaluation.task import Task
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import letterbox
from pipeline.inference.predictor import BatchPrediction, Predictor
from pipeline.packing.shards import Shards, write_shard
from pipeline.systems.coco_yolo.targets import GridCodec
from pipeline.systems.common.labels import Labels
from pipeline.systems.common.model_metadata import ModelMetadata
from tests.support.image_archives import write_image_archives
from tests.support.scenes import box, image, tables

IMAGE_IDS = np.array([9, 3, 12, 7, 5])
GROUND_TRUTH = tables(
    [image(int(image_id), width=100, height=100) for image_id in IMAGE_IDS],
    [box(int(image_id), int(image_id), 5, (10, 20, 30, 40)) for image_id in IMAGE_IDS],
)


@dataclass
class CountingPredictor:
    """Predicts, in batches of two, the true box of every image with score image_id / 20, and records the image ids."""

    codec: Any = field(default_factory=GridCodec)
    metadata: ModelMetadata = field(
        default_factory=lambda: ModelMetadata(module="coco_yolo", image_size=20, channels=3, resize="letterbox")
    )
    predicted_ids: list[int] = field(default_factory=list)

    def predict_shards(
        self, _: Shards, image_ids: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], BatchPrediction]]:
        for start in range(0, len(image_ids), 2):
            ids = image_ids[start : start + 2]
            self.predicted_ids += ids.tolist()
            boxes = [
                LabeledBoxes(np.array([[0.1, 0.2, 0.3, 0.4]]), np.array([1]), np.array([image_id / 20]))
                for image_id in ids
            ]
            classes = np.zeros((len(ids), 2, 2, 3))
            classes[:, 0, 0, 1] = ids
            yield ids, BatchPrediction({"class": classes}, boxes)


@pytest.fixture
def split(tmp_path: Path) -> ScoredSplit:
    pixels = np.repeat(np.arange(5, dtype=np.uint8), 20 * 20 * 3).reshape(5, 20, 20, 3)
    write_shard(tmp_path / "pack" / "val" / "0.arrow", IMAGE_IDS, {"image": pixels})
    transforms = {int(image_id): letterbox(100, 100, 20) for image_id in IMAGE_IDS}
    labels = Labels(np.array([0, 5, 2], np.int32), ["nothing", "dog", "cat"])
    archives = write_image_archives(tmp_path / "download", GROUND_TRUTH.images)
    return ScoredSplit(Shards(tmp_path / "pack", "val"), IMAGE_IDS, GROUND_TRUTH, transforms, labels, archives)


def test_one_pass_yields_detections_boxes_and_outputs_of_plotted_images(split: ScoredSplit) -> None:
    predictor = CountingPredictor()
    predictions = predict_split(cast(Predictor, predictor), split, num_plotted=3)
    assert predictor.predicted_ids == IMAGE_IDS.tolist()
    assert predictions.detections["image_id"].to_pylist() == IMAGE_IDS.tolist()
    assert list(predictions.boxes) == IMAGE_IDS.tolist()
    assert predictions.plotted_ids.tolist() == [3, 7, 12]
    assert predictions.plotted_outputs["class"][:, 0, 0, 1].tolist() == [3, 7, 12]
    assert split.model_inputs(predictions.plotted_ids)[:, 0, 0, 0].tolist() == [1, 3, 2]


def test_evaluation_and_plots_predict_each_image_once(split: ScoredSplit, tmp_path: Path) -> None:
    predictor = cast(Any, CountingPredictor())
    evaluation = evaluate_model(predictor, DetectionTask(), split, GROUND_TRUTH, num_plotted=4)
    write_prediction_plots(tmp_path, predictor, DetectionTask(), split, evaluation.predictions, score_threshold=0.3)
    assert predictor.predicted_ids == IMAGE_IDS.tolist()
    assert {path.name for path in tmp_path.glob("*.png")} == {"predictions.png", "grid.png"}
    report = {"oracle_AP": 0.9, "val_unencodable_boxes": 1, "val_boxes": 5, "train_boxes": 8}
    assert evaluation.metrics(DetectionTask(), "val", report) == {
        "AP": pytest.approx(1),
        "AP50": pytest.approx(1),
        "AP75": pytest.approx(1),
        "baseline_AP": pytest.approx(1),
        "oracle_AP": 0.9,
        "unencodable_boxes": 1,
        "boxes": 5,
        "images": 5,
    }


@pytest.mark.parametrize("task", [DetectionTask(), LocalizationTask()], ids=["detection", "localization"])
def test_metrics_of_split_without_a_box_are_null_with_the_reason(split: ScoredSplit, task: Task) -> None:
    empty = dataclasses.replace(split, ground_truth=tables(GROUND_TRUTH.images.to_pylist(), []))
    evaluation = evaluate_model(cast(Any, CountingPredictor()), task, empty, GROUND_TRUTH, num_plotted=4)
    name = task.primary_metric
    report = {f"oracle_{name}": None, "val_unencodable_boxes": 0, "val_boxes": 0}
    metrics = evaluation.metrics(task, "val", report)
    assert metrics == {
        **dict.fromkeys([*evaluation.scores, f"baseline_{name}", f"oracle_{name}"]),
        "unencodable_boxes": 0,
        "boxes": 0,
        "images": 5,
        "reason": "No image of split val has a box to find.",
    }
    json.dumps(evaluation.errors.report, allow_nan=False)


def test_crowd_regions_are_not_plotted(split: ScoredSplit) -> None:
    crowd = box(99, 7, 2, (0, 0, 100, 100), is_crowd=True)
    ground_truth = tables(GROUND_TRUTH.images.to_pylist(), [crowd, *GROUND_TRUTH.boxes.to_pylist()])
    [boxes] = dataclasses.replace(split, ground_truth=ground_truth).objects(np.array([7]))
    assert boxes.labels.tolist() == [1]
    assert boxes.boxes_rel_xywh[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
