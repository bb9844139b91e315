from pathlib import Path

from pipeline.cli.summary import summary
from pipeline.core.atomic_files import write_json
from pipeline.core.config import load_params
from tests.support.tiny_project import PROJECT


def test_scores_stand_beside_baseline_and_ceiling(tmp_path: Path) -> None:
    folder = tmp_path / "digits_localizer"
    scores = {"accuracy": 0.975, "mean_iou": 0.4344, "baseline_mean_iou": 0.0989, "oracle_mean_iou": 1.0}
    write_json(folder / "metrics.json", scores)
    write_json(folder / "training" / "train.json", {"seconds": 75.81})
    lines = summary(load_params(PROJECT / "params.yaml"), tmp_path).splitlines()
    assert lines[0].split() == ["system", "score", "baseline", "oracle", "seconds", "where", "to", "look"]
    assert lines[2].split() == ["digits_localizer", "mean_iou", "0.434", "0.099", "1.000", "76", f"{folder}/"]


def test_what_was_not_evaluated_says_so(tmp_path: Path) -> None:
    lines = summary(load_params(PROJECT / "params.yaml"), tmp_path).splitlines()
    assert lines[5].split(maxsplit=1) == ["coco_yolo", "not evaluated yet" + lines[5].partition("yet")[2]]
    assert lines[5].endswith("dvc repro evaluate@coco_yolo")
