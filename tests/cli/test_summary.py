from pathlib import Path

from pipeline.cli.summary import summarize
from pipeline.core.atomic_files import write_json
from pipeline.core.config import load_params
from tests.support.tiny_project import PROJECT

PARAMS = load_params(PROJECT / "params.yaml")


def write_reports(folder: Path, seconds: float, **scores: float) -> None:
    write_json(folder / "metrics.json", scores)
    write_json(folder / "training" / "train.json", {"seconds": seconds})


def test_published_system_and_variant_are_side_by_side(tmp_path: Path) -> None:
    published, variant = tmp_path / "digits_localizer", tmp_path / "digits_distributional_localizer"
    write_reports(published, 75.81, accuracy=0.975, mean_iou=0.4344, baseline_mean_iou=0.0989, oracle_mean_iou=1.0)
    write_reports(variant, 120.2, accuracy=0.99, mean_iou=0.9, baseline_mean_iou=0.0989, oracle_mean_iou=0.987)
    lines = summarize(PARAMS, tmp_path)
    assert " ".join(lines[0].split()) == "system metric score variant baseline upper bound seconds where to look"
    assert " ".join(lines[2].split()) == (
        f"digits_localizer mean_iou 0.434 0.900 0.099 1.000 / 0.987 76 / 120 {published}/, {variant}/"
    )


def test_each_published_system_has_one_line(tmp_path: Path) -> None:
    lines = summarize(PARAMS, tmp_path)
    assert [line.split()[0] for line in lines[2:]] == [
        "digits_localizer",
        "rectangle_localizer",
        "snack_localizer",
        "coco_yolo",
        "coco_retinanet",
    ]


def test_systems_without_evaluation_are_listed_as_such(tmp_path: Path) -> None:
    write_reports(tmp_path / "coco_yolo", 600, AP=0.05, baseline_AP=0.001, oracle_AP=0.4)
    lines = [" ".join(line.split()) for line in summarize(PARAMS, tmp_path)]
    assert lines[5] == (
        f"coco_yolo AP 0.050 not evaluated 0.001 0.400 600 / - {tmp_path}/coco_yolo/, "
        "dvc repro evaluate@coco_anchor_free_detector"
    )
    assert lines[6] == (
        "coco_retinanet AP not evaluated not evaluated "
        "dvc repro evaluate@coco_retinanet, dvc repro evaluate@coco_retinanet_coarse"
    )


def test_system_without_variant_has_one_score(tmp_path: Path) -> None:
    systems = {"coco_yolo": PARAMS.systems["coco_yolo"]}
    write_reports(tmp_path / "coco_yolo", 600, AP=0.05, baseline_AP=0.001, oracle_AP=0.4)
    [line] = summarize(PARAMS.model_copy(update={"systems": systems}), tmp_path)[2:]
    assert " ".join(line.split()) == f"coco_yolo AP 0.050 0.001 0.400 600 {tmp_path}/coco_yolo/"


def test_undefined_and_missing_numbers_are_dashes(tmp_path: Path) -> None:
    systems = {"coco_yolo": PARAMS.systems["coco_yolo"]}
    for metrics, training in [({"AP": None, "baseline_AP": None, "oracle_AP": None}, {"seconds": None}), ({}, {})]:
        write_json(tmp_path / "coco_yolo" / "metrics.json", metrics)
        write_json(tmp_path / "coco_yolo" / "training" / "train.json", training)
        [line] = summarize(PARAMS.model_copy(update={"systems": systems}), tmp_path)[2:]
        assert " ".join(line.split()) == f"coco_yolo AP - - - - {tmp_path}/coco_yolo/"


def test_each_variant_has_a_line_also_one_of_a_variant(tmp_path: Path) -> None:
    variant = PARAMS.systems["coco_anchor_free_detector"]
    systems = {
        "coco_yolo": PARAMS.systems["coco_yolo"],
        "one": variant,
        "two": variant,
        "three": variant.model_copy(update={"variant_of": "one"}),
    }
    for number, name in enumerate(systems):
        write_reports(tmp_path / name, number, AP=number / 10, baseline_AP=0, oracle_AP=1)
    lines = summarize(PARAMS.model_copy(update={"systems": systems}), tmp_path)[2:]
    assert [" ".join(line.split()[:4]) for line in lines] == [
        "coco_yolo AP 0.000 0.100",
        "coco_yolo AP 0.000 0.200",
        "one AP 0.100 0.300",
    ]


def test_params_without_systems_have_the_heading_only(tmp_path: Path) -> None:
    assert len(summarize(PARAMS.model_copy(update={"systems": {}}), tmp_path)) == 2
