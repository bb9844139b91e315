"""boxline evaluate --verify on small tables, and on scores that are made to differ."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.core import schema
from pipeline.core.parquet import write_table
from pipeline.datasets.annotations import Tables
from pipeline.evaluation import localization
from pipeline.evaluation.hotcoco_scorer import HotcocoScorer
from pipeline.evaluation.task import get_task
from tests.support.commands import exit_code_of
from tests.support.scenes import box, detections, image, tables
from tests.support.tiny_project import PROJECT


def ground_truth(split: str) -> Tables:
    """Three images of a split, and one for training, which has an id of them."""
    return tables(
        [image(7, split), image(3, split, width=100, height=80), image(2**62, split), image(7, "train")],
        [box(1, 7, 5, (10, 20, 30, 40)), box(2, 3, 2, (0, 0, 50, 20)), box(3, 2**62, 2, (5, 5, 10, 10))],
    )


PREDICTED = detections([(7, 5, (10, 20, 30, 30), 0.9), (2**62, 2, (5, 5, 10, 10), 0.8)])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The evaluated systems coco_yolo and digits_localizer, whose data are those above without image 3."""
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    for dataset, split in (("coco", "val"), ("digits", "test")):
        folder = tmp_path / "data" / dataset / "validate"
        folder.mkdir(parents=True)
        ground_truth(split).write(folder)
    for system, task in (("coco_yolo", get_task("detection")), ("digits_localizer", get_task("localization"))):
        images = task.analyze_errors(ground_truth("val").split("val").of_images(np.array([7, 2**62])), PREDICTED).images
        folder = tmp_path / "data" / system / "evaluate"
        folder.mkdir(parents=True)
        write_table(folder / "detections.parquet", PREDICTED, schema.DETECTIONS)
        write_table(folder / "images.parquet", images, task.image_schema)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_scores_of_detector_agree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(monkeypatch, "evaluate", "coco_yolo", "--verify") == 0
    # IoU 0.75 of the dog matches at 6 of 10 IoU thresholds; the cat is exact.
    assert capsys.readouterr().out == (
        "coco_yolo: 2 images of val, 2 detections\n"
        "\n"
        "score           hotcoco     pycocotools    difference\n"
        "-------  --------------  --------------  ------------\n"
        "AP       0.800000000000  0.800000000000             0\n"
        "AP50     1.000000000000  1.000000000000             0\n"
        "AP75     1.000000000000  1.000000000000             0\n"
        "\n"
        "Largest difference: 0, allowed 1e-12: the scores agree.\n"
    )


@pytest.mark.usefixtures("project")
def test_ious_of_localizer_agree(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(monkeypatch, "evaluate", "digits_localizer", "--verify") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[2] == ["score", "Boxline", "pycocotools", "difference"]
    assert lines[4:8] == [
        ["accuracy", "1.000000000000", "1.000000000000", "0"],
        ["mean_iou", "0.875000000000", "0.875000000000", "0"],
        ["iou_50", "1.000000000000", "1.000000000000", "0"],
        ["iou_60", "1.000000000000", "1.000000000000", "0"],
    ]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("system", ["coco_yolo", "digits_localizer"])
def test_difference_ends_with_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], system: str
) -> None:
    evaluate_exactly, iou_exactly = HotcocoScorer.evaluate, localization.paired_iou

    def evaluate_wrongly(self: HotcocoScorer, scene: Any) -> Any:
        result = evaluate_exactly(self, scene)
        result.metrics["AP50"] -= 1e-11
        return result

    monkeypatch.setattr(HotcocoScorer, "evaluate", evaluate_wrongly)
    monkeypatch.setattr(localization, "paired_iou", lambda a, b: iou_exactly(a, b) - 1e-11)
    assert exit_code_of(monkeypatch, "evaluate", system, "--verify") == 1
    assert capsys.readouterr().out.endswith("Largest difference: 1e-11, allowed 1e-12: THE SCORES DIFFER.\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("coco_yolo",), "Add --verify to verify the scores. `dvc repro evaluate@coco_yolo` evaluates."),
        (
            ("coco_retinanet", "--verify"),
            "data/coco_retinanet/evaluate/detections.parquet not found. `dvc repro` builds it.",
        ),
    ],
)
def test_mistake_of_the_user_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, argv: Any, message: str
) -> None:
    assert exit_code_of(monkeypatch, "evaluate", *argv) == 1
    assert caplog.messages == [f"Error: {message}"]


def test_changed_data_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ground_truth("val").split("val").of_images(np.array([7, 3])).write(project / "data" / "coco" / "validate")
    assert exit_code_of(monkeypatch, "evaluate", "coco_yolo", "--verify") == 1
    assert caplog.messages == [
        "Error: data/coco_yolo/evaluate has 2 images, of which split 'val' of the validated data holds 1: the data "
        "have changed. `dvc repro evaluate@coco_yolo` evaluates again."
    ]
