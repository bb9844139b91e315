"""Which plots an evaluation writes for each task. What they show is tested in tests/plots."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.core import schema
from pipeline.evaluation.detection import DetectionTask
from pipeline.evaluation.evaluate import SplitPredictions
from pipeline.evaluation.localization import LocalizationTask
from pipeline.evaluation.plots import write_error_plots
from pipeline.evaluation.split import ScoredSplit
from pipeline.evaluation.task import Task, get_task
from pipeline.geometry.labeled_boxes import LabeledBoxes
from pipeline.geometry.resize import letterbox
from pipeline.inference.detections import detections_in_image_coordinates
from pipeline.packing.shards import Shards, write_shard
from pipeline.plots.colors import class_color
from pipeline.plots.image_grid import DOTS_PER_INCH, TILE_INCHES, PredictedImages
from pipeline.plots.localization import PREDICTED_BOX_COLOR
from pipeline.systems.common.labels import Labels
from tests.support.drawn_pixels import extent_in, pixels_of, shows
from tests.support.image_archives import write_image_archives
from tests.support.scenes import box, detections, image, tables

COUNT = 12
BOX_REL_XYWH = np.array([[0.1, 0.2, 0.3, 0.4]])
IMAGES = PredictedImages(
    list(np.zeros((COUNT, 20, 20, 1), np.uint8)),
    [f"{number}.png" for number in range(COUNT)],
    [LabeledBoxes(BOX_REL_XYWH, np.array([1]))] * COUNT,
    [LabeledBoxes(BOX_REL_XYWH, np.array([1]), np.array([0.9]))] * COUNT,
    ["zero", "one", "two"],
)
PROBABILITIES = np.full((COUNT, 3), 1 / 3)


def aspect_ratios(folder: Path) -> dict[str, float]:
    """Width divided by height of every file."""
    shapes = {path.name: pixels_of(path).shape for path in sorted(folder.iterdir())}
    return {name: shape[1] / shape[0] for name, shape in shapes.items()}


def test_localizer_plots_nine_images_and_their_class_probabilities(tmp_path: Path) -> None:
    LocalizationTask().plot_predictions(tmp_path, IMAGES, PROBABILITIES)
    # Three columns of 2.4 inches over three rows of 2.8 or 2.6 and the header, and twice as wide with bars.
    assert aspect_ratios(tmp_path) == {
        "predictions.png": pytest.approx(7.2 / 8.66, abs=0.01),
        "probabilities.png": pytest.approx(14.4 / 8.06, abs=0.01),
    }


def test_localizer_without_class_probabilities_has_one_plot(tmp_path: Path) -> None:
    LocalizationTask().plot_predictions(tmp_path, IMAGES, None)
    assert list(aspect_ratios(tmp_path)) == ["predictions.png"]


def test_detector_plots_every_image(tmp_path: Path) -> None:
    DetectionTask().plot_predictions(tmp_path, IMAGES, None)
    assert aspect_ratios(tmp_path) == {"predictions.png": pytest.approx(9.6 / 7.8, abs=0.01)}


def test_task_is_chosen_by_name() -> None:
    assert (get_task("detection").primary_metric, get_task("localization").primary_metric) == ("AP", "mean_iou")


GROUND_TRUTH = tables(
    [image(3, width=100, height=100), image(7, width=200, height=100)],
    [box(1, 3, 5, (10, 20, 30, 40)), box(2, 7, 2, (20, 10, 40, 30)), box(3, 7, 5, (100, 40, 60, 50))],
)
TRANSFORMS = {3: letterbox(100, 100, 20), 7: letterbox(200, 100, 20)}
LABELS = Labels(np.array([0, 5, 2], np.int32), ["nothing", "dog", "cat"])
DOG, CAT = 1, 2


@pytest.fixture
def split(tmp_path: Path) -> ScoredSplit:
    """Black images: 3 has 100 x 100 pixels, 7 has 200 x 100, and both are packed with 20 x 20."""
    write_shard(tmp_path / "pack" / "val" / "0.arrow", np.array([3, 7]), {"image": np.zeros((2, 20, 20, 3), np.uint8)})
    archives = write_image_archives(tmp_path / "download", GROUND_TRUTH.images)
    return ScoredSplit(Shards(tmp_path / "pack", "val"), np.array([3, 7]), GROUND_TRUTH, TRANSFORMS, LABELS, archives)


def predictions(rows: dict[int, list[tuple[int, tuple[float, ...], float]]]) -> SplitPredictions:
    """Label, xywh in pixels of the original and score of each prediction, by image id."""
    boxes = {
        image_id: LabeledBoxes(
            TRANSFORMS[image_id].apply_boxes([xywh for _, xywh, _ in rows.get(image_id, [])]),
            np.array([label for label, _, _ in rows.get(image_id, [])], int),
            np.array([score for _, _, score in rows.get(image_id, [])]),
        )
        for image_id in TRANSFORMS
    }
    detections = detections_in_image_coordinates(list(boxes.values()), np.array(list(boxes)), TRANSFORMS, LABELS)
    return SplitPredictions(detections, boxes, np.array([3, 7]), {})


def write_plots(folder: Path, task: Task, split: ScoredSplit, predicted: SplitPredictions) -> list[int]:
    """Write errors.png and worst.png; return the ids of the worst images."""
    analysis = task.analyze_errors(GROUND_TRUTH, predicted.detections)
    write_error_plots(folder, task, split, predicted, analysis)
    assert {path.name for path in folder.glob("*.png")} == {"errors.png", "worst.png"}
    return analysis.worst_image_ids.tolist()


def tiles_of(path: Path) -> list[np.ndarray]:
    """The two tiles of a plot, without titles."""
    return np.split(pixels_of(path)[-round(TILE_INCHES * DOTS_PER_INCH) :], 2, axis=1)


def test_worst_image_of_detector_comes_first_with_predictions_above_best_threshold(
    tmp_path: Path, split: ScoredSplit
) -> None:
    predicted = predictions(
        {
            3: [(DOG, (10, 20, 30, 40), 0.9)],  # true positive
            7: [
                (CAT, (20, 10, 40, 30), 0.8),  # true positive; the dog of this image is missed
                (DOG, (20, 60, 40, 30), 0.3),  # false positive below the best threshold, 0.35
            ],
        }
    )
    assert write_plots(tmp_path, DetectionTask(), split, predicted) == [7, 3]
    first, second = tiles_of(tmp_path / "worst.png")
    dog, cat = class_color(DOG), class_color(CAT)
    assert (shows(first, dog), shows(second, cat)) == (False, False)
    assert extent_in(second, dog)[2:] == pytest.approx([0.4, 0.6], abs=0.03)  # below and right of its name
    # 200 x 100 pixels cover 1/4 to 3/4 of the height of the tile: right edge 60 / 200, bottom (50 + 40) / 200.
    assert extent_in(first, cat)[3] == pytest.approx(0.45, abs=0.03)
    inner = first[len(first) // 4 + 4 : -len(first) // 4 - 4, 4:-4]  # around the image the tile is white, too
    left, top, right, bottom = extent_in(inner, "white")
    # The dog; the cat is covered.
    assert [left, 0.25 + top / 2, right, 0.25 + bottom / 2] == pytest.approx([0.5, 0.45, 0.8, 0.7], abs=0.03)


def test_worst_image_of_localizer_comes_first(tmp_path: Path, split: ScoredSplit) -> None:
    write_plots(tmp_path, LocalizationTask(), split, predictions({3: [(DOG, (10, 20, 30, 40), 0.9)]}))
    first, second = tiles_of(tmp_path / "worst.png")
    assert (shows(first, PREDICTED_BOX_COLOR), shows(second, PREDICTED_BOX_COLOR)) == (False, True)


@pytest.mark.parametrize("task", [DetectionTask(), LocalizationTask()], ids=["detection", "localization"])
def test_error_plots_of_system_without_predictions(tmp_path: Path, split: ScoredSplit, task: Task) -> None:
    nothing = predictions({})
    assert nothing.detections.equals(pa.table(schema.DETECTIONS.empty_table()))
    write_plots(tmp_path, task, split, nothing)


@pytest.mark.parametrize("boxes", [[], [box(1, 3, 5, (10, 20, 30, 40), is_crowd=True)]], ids=["no box", "crowd region"])
def test_plots_of_images_without_a_box(tmp_path: Path, split: ScoredSplit, boxes: list[dict[str, object]]) -> None:
    empty = dataclasses.replace(split, ground_truth=tables(GROUND_TRUTH.images.to_pylist(), boxes))
    predicted = predictions({3: [(DOG, (10, 20, 30, 40), 0.9)]})
    for task, expected in ((DetectionTask(), {"errors.png", "worst.png"}), (LocalizationTask(), {"errors.png"})):
        folder = tmp_path / task.primary_metric
        folder.mkdir()
        write_error_plots(folder, task, empty, predicted, task.analyze_errors(empty.ground_truth, predicted.detections))
        assert {path.name for path in folder.iterdir()} == expected
    images = empty.predicted_images(np.array([3, 7]), predicted.detections, 0.0)
    LocalizationTask().plot_predictions(tmp_path, images, np.full((2, 3), 1 / 3))
    assert (tmp_path / "predictions.png").exists()
    assert not (tmp_path / "probabilities.png").exists()


def test_images_are_shown_at_their_own_resolution_up_to_a_limit(tmp_path: Path) -> None:
    """Whatever the size of the model input. Boxes are relative to the image."""
    images = tables(
        [image(3, width=30, height=20), image(7, width=2000, height=1000)],
        [box(1, 3, 5, (3, 5, 15, 10)), box(2, 7, 2, (0, 0, 2000, 1000), is_crowd=True)],
    )
    archives = write_image_archives(tmp_path, images.images, color=(200, 100, 50))
    write_shard(tmp_path / "pack" / "val" / "0.arrow", np.array([3, 7]), {"image": np.zeros((2, 20, 20, 3), np.uint8)})
    split = ScoredSplit(Shards(tmp_path / "pack", "val"), np.array([3, 7]), images, TRANSFORMS, LABELS, archives)
    predicted = detections([(7, 2, (500, 250, 1000, 500), 0.5), (3, 5, (0, 0, 15, 10), 0.2), (3, 5, (3, 5, 6, 5), 0.3)])
    shown = split.predicted_images(np.array([7, 3]), predicted, score_threshold=0.3)
    assert [pixels.shape for pixels in shown.pixels] == [(320, 640, 3), (20, 30, 3)]
    assert shown.pixels[1][0, 0].tolist() == [200, 100, 50]
    assert shown.titles == ["000000000007.jpg", "000000000003.jpg"]
    assert [boxes.boxes_rel_xywh.tolist() for boxes in shown.ground_truth] == [[], [[0.1, 0.25, 0.5, 0.5]]]
    assert [boxes.boxes_rel_xywh.tolist() for boxes in shown.predictions] == [
        [[0.25, 0.25, 0.5, 0.5]],
        [[0.1, 0.25, 0.2, 0.25]],
    ]
    assert [boxes.labels.tolist() for boxes in shown.predictions] == [[CAT], [DOG]]
