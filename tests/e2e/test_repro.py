"""The whole line with real DVC: built, left alone, changed in one place, forced, broken."""

import csv
import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc.stage import PipelineStage
from PIL import Image
from ruamel.yaml import YAML

from pipeline.cli.main import main
from pipeline.core.errors import BoxlineError
from tests.support.servers import FaultyServer
from tests.support.stages import run_stage
from tests.support.tiny_project import run_dvc, tiny_params, write_params

pytestmark = pytest.mark.slow

DATASETS = ("digits", "coco", "rectangles", "snacks", "photographs")
LOCALIZERS = ("digits_localizer", "rectangle_localizer", "snack_localizer", "digits_distributional_localizer")
SYSTEMS = (*LOCALIZERS, "coco_yolo", "coco_retinanet", "coco_anchor_free_detector")
STAGES = [
    *(f"{stage}@{name}" for name in DATASETS for stage in ("sample", "download", "tables", "inspect", "validate")),
    *(f"{stage}@{name}" for name in SYSTEMS for stage in ("pack", "targets", "pretrained", "train", "evaluate")),
]


def test_first_run_runs_every_stage(recorded: tuple[Path, Path, str]) -> None:
    assert sorted(stages_run(recorded[2])) == sorted(STAGES)


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy", symlinks=True))


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '(.+)'", output)


def change_params(project: Path, **values: Any) -> None:
    """Set params.yaml keys given with __ for dots."""
    params = YAML(typ="safe", pure=True).load(project / "params.yaml")
    for dotted, value in values.items():
        *parents, last = dotted.split("__")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = value
    write_params(project, params)


def lock_hashes(project: Path) -> dict[str, str]:
    """Path -> hash of every output in dvc.lock."""
    lock = YAML(typ="safe", pure=True).load(project / "dvc.lock")
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def test_entry_of_a_format_and_a_source_is_all_that_own_data_need(built: Path) -> None:
    params = YAML(typ="safe", pure=True).load(built / "params.yaml")
    assert params["datasets"]["photographs"] == {"format": "voc", "source": "photographs"}
    checked = json.loads((built / "reports" / "photographs" / "validate.json").read_text())
    assert (checked["images"], checked["boxes"], checked["quarantined"], checked["passed_over"]) == (6, 6, 0, [])
    assert {name: split["images"] for name, split in checked["splits"].items()} == {"train": 5, "val": 1}
    assert list((built / "data" / "photographs" / "sample").iterdir()) == []


def test_changed_limit_and_module_rerun_the_stages_that_read_them(copy: Path) -> None:
    change_params(copy, datasets__photographs__limit=2)
    ran = stages_run(run_dvc(copy, "repro", "validate@photographs").stdout)
    assert ran == [f"{stage}@photographs" for stage in ("sample", "tables", "inspect", "validate")]
    shutil.copytree(copy / "data" / "coco" / "download", copy / "mirror")
    change_params(copy, datasets__coco={"module": "coco", "source": "mirror"})
    run_dvc(copy, "repro", "download@coco")
    change_params(copy, datasets__coco__module="snacks")
    failed = run_dvc(copy, "repro", "tables@coco", check=False)
    assert stages_run(failed.stdout) == ["sample@coco", "download@coco"]


def test_second_run_runs_nothing(built: Path) -> None:
    assert stages_run(run_dvc(built, "repro").stdout) == []
    assert run_dvc(built, "status").stdout.strip() == "Data and pipelines are up to date."


def test_metrics_include_baseline_oracle_and_unencodable_boxes(built: Path) -> None:
    shown = json.loads(run_dvc(built, "metrics", "show", "--json").stdout)
    files = next(iter(shown.values()))["data"]
    detector = files["reports/coco_yolo/metrics.json"]["data"]
    assert set(detector) == {"AP", "AP50", "AP75", "baseline_AP", "oracle_AP", "unencodable_boxes", "boxes", "images"}
    assert detector["images"] == 8
    assert detector["oracle_AP"] > 0.9
    localizer = files["reports/digits_localizer/metrics.json"]["data"]
    assert {"accuracy", "mean_iou", "iou_50", "iou_60", "baseline_mean_iou"} <= set(localizer)
    assert localizer["oracle_mean_iou"] == pytest.approx(1, abs=1e-6)
    assert set(files) == {f"reports/{system}/{name}.json" for system in SYSTEMS for name in ("metrics", "targets")}
    checked = json.loads((built / "reports" / "coco" / "validate.json").read_text())
    assert (checked["images"], checked["quarantined"]) == (48, 0)
    assert all(0 <= value <= 1 for name, value in {**detector, **localizer}.items() if "iou" in name or "AP" in name)


def test_plots_show_curves_and_images(copy: Path) -> None:
    params = tiny_params()
    del params["systems"]["coco_retinanet"]  # a system that is not declared any more is no plot that is missing
    write_params(copy, params)
    shown = run_dvc(copy, "plots", "show", "--out", "plots")
    assert "failed to load" not in shown.stderr
    page = (copy / "plots" / "index.html").read_text()
    for system in SYSTEMS:
        assert f"reports/curves/{system}/loss.csv" in page
    assert "reports/curves/digits_localizer/bbox_mean_iou_xyxy.csv" in page
    images = sorted(path.name.rsplit("_", 1)[-1] for path in (copy / "plots" / "static").iterdir())
    names = ["samples.png", "targets.png", "predictions.png", "curves.png", "errors.png", "worst.png"]
    assert images == sorted(names * (len(SYSTEMS) - 1) + ["probabilities.png"] * 3 + ["grid.png"])
    for path in (copy / "reports").rglob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 150, path


def test_experiment_with_more_epochs_reruns_dependent_stages(copy: Path) -> None:
    output = run_dvc(copy, "exp", "run", "-S", "systems.coco_yolo.train.phases.all.epochs=2").stdout
    assert stages_run(output) == ["train@coco_yolo", "evaluate@coco_yolo"]
    assert json.loads((copy / "reports" / "coco_yolo" / "training" / "train.json").read_text())["epochs"] == 2
    changed = json.loads(run_dvc(copy, "params", "diff", "--json").stdout)
    assert changed == {"params.yaml": {"systems.coco_yolo.train.phases.all.epochs": {"old": 1, "new": 2, "diff": 1}}}


def test_changed_plots_and_evaluation_images_do_not_retrain(copy: Path) -> None:
    change_params(copy, systems__coco_yolo__evaluate__plotted_images=1, datasets__coco__sample__val_images=9)
    ran = stages_run(run_dvc(copy, "repro").stdout)
    assert "evaluate@coco_yolo" in ran
    assert "targets@coco_yolo" in ran
    assert {stage.partition("@")[2] for stage in ran} == {
        "coco",
        "coco_yolo",
        "coco_retinanet",
        "coco_anchor_free_detector",
    }
    assert not [stage for stage in ran if stage.startswith(("train@", "pretrained@"))]


def test_changed_evaluation_images_leave_packed_training_images_unchanged(copy: Path) -> None:
    """Also if the pack is hard-linked into DVC's cache: nothing is written there."""
    run_dvc(copy, "config", "cache.type", "hardlink")
    run_dvc(copy, "checkout", "--relink")
    change_params(copy, datasets__coco__sample__val_images=9)
    log = run_dvc(copy, "repro", "pack@coco_yolo").stderr
    [found] = re.findall(r"packed 49 images .*: (\d+) decoded, (\d+) copied, (\d+) in unchanged shards", log)
    # The evaluation images are drawn again; one of them, 4, existed before.
    assert tuple(map(int, found)) == (8, 1, 40)
    for path in (copy / ".dvc" / "cache" / "files" / "md5").rglob("*"):
        if path.is_file():
            name = (path.parent.name + path.name).removesuffix(".dir")
            assert hashlib.md5(path.read_bytes()).hexdigest() == name, path


TOUCHED = {
    "pipeline/systems/digits_localizer/model.py": {"train@digits_localizer", "evaluate@digits_localizer"},
    "pipeline/datasets/digits/sample.py": {f"{s}@{n}" for s in ("sample", "tables") for n in DATASETS},
    "pipeline/evaluation/localization.py": {f"{s}@{n}" for s in ("targets", "evaluate") for n in SYSTEMS},
    "pipeline/plots/image_grid.py": {f"{s}@{n}" for s in ("targets", "evaluate") for n in SYSTEMS},
    "pipeline/download/sync.py": {*(f"download@{n}" for n in DATASETS), *(f"pretrained@{n}" for n in SYSTEMS)},
    "pipeline/validation/joins.py": {f"validate@{n}" for n in DATASETS},
    "pipeline/cli/summary.py": set(),
}
"""The stages that depend on each of these modules."""


def test_edited_docstring_affects_only_dependent_stages(copy: Path) -> None:
    for edited, touched in TOUCHED.items():
        path = copy / edited
        original = path.read_text()
        path.write_text(original.replace('"""', '"""Edited. ', 1))
        assert set(json.loads(run_dvc(copy, "status", "--json").stdout)) == touched, edited
        path.write_text(original)


def test_forced_run_with_same_seed_reproduces_bytes_and_scores(copy: Path) -> None:
    hashes, metrics = lock_hashes(copy), metrics_of(copy)
    run_dvc(copy, "repro", "--force", "evaluate@rectangle_localizer", "evaluate@coco_retinanet")
    again = lock_hashes(copy)
    fixed_outputs = {"sample", "download", "tables", "inspect", "validate", "pack", "targets", "pretrained", "evaluate"}
    fixed_outputs |= {"download.json", "errors.json"}
    fixed = [path for path in hashes if path.split("/")[2] in fixed_outputs]
    assert len(fixed) == 6 * len(DATASETS) + 5 * len(SYSTEMS)
    assert {path: again[path] for path in fixed} == {path: hashes[path] for path in fixed}
    assert metrics_of(copy) == metrics


def metrics_of(project: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(project)): json.loads(path.read_text())
        for path in sorted((project / "reports").rglob("metrics.json"))
    }


def failure(project: Path, target: str) -> str:
    """The one-sentence error of a failing stage, after checks that it left no traceback and no output.

    A failed download leaves the previous one in place.
    """
    stage, _, name = target.partition("@")
    out = project / "data" / name / stage
    previous = contents(out) if stage == "download" else {}
    result = run_dvc(project, "repro", target, check=False)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert not list((project / "data").rglob("*.partial*"))
    assert out.exists() == (stage == "download")
    assert contents(out) == previous
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert "exited with 1" in result.stderr
    return line.removeprefix("Error: ")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_missing_source_is_reported(copy: Path) -> None:
    change_params(copy, datasets__coco__source="nowhere/coco")
    assert failure(copy, "download@coco") == (
        "nowhere/coco/annotations/annotations_trainval2017.zip not found. "
        "A folder given as `source` in params.yaml must have the layout of the upstream."
    )


def test_checksum_mismatch_is_reported(copy: Path) -> None:
    """The project's own digests, pointed at a folder that holds other bytes under the same names."""
    source = copy / "pipeline" / "datasets" / "coco" / "source.py"
    source.write_text(source.read_text().replace("http://images.cocodataset.org", "mirror"))
    shutil.copytree(copy / "data" / "coco" / "download", copy / "mirror")
    change_params(copy, datasets__coco__source="upstream")
    size = (copy / "mirror" / "annotations" / "annotations_trainval2017.zip").stat().st_size
    assert failure(copy, "download@coco") == (
        f"mirror/annotations/annotations_trainval2017.zip has {size} bytes, expected 252907541. "
        "The publisher changed the file, or the download is corrupt: run the command again, or set `source` to a "
        "mirror."
    )


def test_invalid_parameter_is_reported(copy: Path) -> None:
    change_params(copy, systems__coco_yolo__train__phases__all__epochs="many")
    assert failure(copy, "train@coco_yolo") == (
        "params.yaml: systems.coco_yolo.train.phases.all.epochs: received 'many', expected an integer."
    )


@pytest.mark.parametrize(
    ("system", "pack", "start", "reason", "end"),
    [
        (
            "digits_localizer",
            {"image_size": 8},
            ": the model cannot be built for images of 8 px (",
            "Computed output size would be zero or negative",
            "). Change pack.image_size, the model section or the pretrained weights.",
        ),
        (
            "coco_retinanet",
            {"image_size": 100},
            ": the model cannot be built for images of 100 px (",
            "Inputs have incompatible shapes. Received shapes (7, 7, 256) and (8, 8, 256)",
            "). Change pack.image_size, the model section or the pretrained weights.",
        ),
        (
            "coco_yolo",
            {"channels": 1},
            ".pack.channels: received 1, expected 3: ",
            "",
            "pretrained weights take RGB images.",
        ),
    ],
)
def test_images_that_do_not_fit_the_model_are_reported(
    built: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    pack: dict[str, int],
    start: str,
    reason: str,
    end: str,
) -> None:
    """In this process: the tests above show that a stage ends with such an error."""
    for folder in ("pretrained", "targets"):
        shutil.copytree(built / "data" / system / folder, tmp_path / "data" / system / folder)
    params = tiny_params()
    params["systems"][system]["pack"] |= pack
    write_params(tmp_path, params)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BoxlineError) as raised:
        run_stage("train", system)
    message = str(raised.value)
    assert message.startswith(f"params.yaml: systems.{system}{start}")
    assert reason in message
    assert message.endswith(end)
    assert sorted(path.name for path in (tmp_path / "data" / system).iterdir()) == ["pretrained", "targets"]


def test_training_step_compiled_with_xla_in_16_bits(copy: Path) -> None:
    change_params(
        copy, systems__digits_localizer__train__xla=True, systems__digits_localizer__train__precision="mixed_bfloat16"
    )
    result = run_dvc(copy, "repro", "train@digits_localizer")
    assert "jit_compile" not in result.stderr  # Keras warns where it compiles nothing
    [row] = csv.DictReader(curves_of(copy).splitlines())
    assert 0 < float(row["loss"]) < 10


def test_pretrained_weights_are_evaluated_as_they_are_without_a_phase(copy: Path) -> None:
    run_dvc(copy, "exp", "run", "-S", "~systems.coco_retinanet.train.phases.all", "evaluate@coco_retinanet")
    report = json.loads((copy / "reports" / "coco_retinanet" / "training" / "train.json").read_text())
    assert (report["epochs"], report["seconds"]) == (0, 0.0)
    assert (copy / "reports" / "coco_retinanet" / "plots" / "predictions.png").exists()


def test_edit_of_the_download_code_downloads_only_changed_files(copy: Path) -> None:
    """DVC leaves a download in place, and the stage reuses the files that did not change at their source."""
    files = contents(copy / "data" / "coco" / "download")
    server = FaultyServer(files)
    with server.running() as address:
        change_params(copy, datasets__coco__source=address)
        run_dvc(copy, "repro", "download@coco")
        assert server.ranges == [None] * 3
        module = copy / "pipeline" / "download" / "sync.py"
        module.write_text(module.read_text().replace('"""', '"""Edited. ', 1))
        newer = {**files, "zips/val2017.zip": files["zips/train2017.zip"]}
        server.files = newer
        result = run_dvc(copy, "repro", "download@coco")
        assert stages_run(result.stdout) == ["download@coco"]
        assert server.requests[6:].count(("GET", "zips/val2017.zip", None)) == len(server.ranges) - 3 == 1
    assert contents(copy / "data" / "coco" / "download") == newer
    assert run_dvc(copy, "status", "download@coco").stdout.strip() == "Data and pipelines are up to date."


def test_malformed_csv_is_reported(copy: Path) -> None:
    mirror = copy / "mirror"
    shutil.copytree(copy / "data" / "digits" / "download", mirror)
    labels = mirror / "MNIST" / "training_data.csv"
    lines = labels.read_text().splitlines()
    lines[2] = lines[2].rpartition(",")[0]
    labels.write_text("\n".join(lines))
    change_params(copy, datasets__digits__source="mirror")
    assert failure(copy, "tables@digits") == (
        f"data/digits/download/MNIST/training_data.csv, line 3: received 5 fields ({lines[2]}), "
        "expected 6: file name, label, xmin, ymin, xmax, ymax."
    )


def test_clone_pulls_everything_from_the_remote(copy: Path, tmp_path: Path) -> None:
    run_dvc(copy, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    run_dvc(copy, "push")
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run([*git, "add", "--all"], cwd=copy, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "built"], cwd=copy, check=True)
    clone = tmp_path / "clone"
    subprocess.run([*git, "clone", "--quiet", copy, clone], check=True)
    run_dvc(clone, "pull")
    assert metrics_of(clone) == metrics_of(copy)
    assert stages_run(run_dvc(clone, "repro").stdout) == []


def test_interrupted_training_resumes(copy: Path) -> None:
    """Ctrl-C in the third epoch: the rerun trains the other epochs, with the result of an uninterrupted training."""
    change_params(copy, systems__digits_localizer__train__phases__all__epochs=5)
    run_dvc(copy, "repro", "train@digits_localizer")
    uninterrupted = curves_of(copy)
    shutil.rmtree(copy / ".dvc" / "cache")  # otherwise DVC would restore this training
    shutil.rmtree(copy / "data" / "digits_localizer" / "train")
    argv = [sys.executable, "-m", "pipeline.stages.train", *train_arguments(copy, "digits_localizer")]
    with subprocess.Popen(argv, cwd=copy, stderr=subprocess.PIPE, text=True) as training:
        assert training.stderr is not None
        for line in training.stderr:
            if line.startswith("all: epoch 2 of 5"):
                training.send_signal(signal.SIGINT)
    assert training.returncode == 130
    assert not list((copy / "data").rglob("*.partial*"))
    result = run_dvc(copy, "repro", "train@digits_localizer")
    resumed = re.findall(r"resuming the interrupted training after epoch (\d)", result.stderr)
    assert resumed in (["2"], ["3"])  # the signal may meet the next epoch
    assert curves_of(copy) == uninterrupted
    assert not list((copy / "data" / "digits_localizer" / "checkpoint").glob("*.npz"))
    page = (copy / "reports" / "digits_localizer" / "training" / "boxes.html").read_text()
    assert page.count('"phase":"all"') == 5


def curves_of(project: Path) -> str:
    return (project / "reports" / "digits_localizer" / "training" / "curves.csv").read_text()


def train_arguments(project: Path, system: str) -> list[str]:
    """The arguments of that system's train stage, as dvc.yaml gives them."""
    with Repo(str(project)) as repo:
        [stage] = [stage for stage in repo.index.stages if stage.name == f"train@{system}"]
        return str(stage.cmd).split()[2:]


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_model_predicts_an_image_of_the_user(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    picture = tmp_path / "mine.png"
    Image.linear_gradient("L").resize((120, 90)).convert("RGB").save(picture)
    out = tmp_path / "predictions"
    argv = [
        "predict",
        str(built / "data" / system / "train"),
        str(picture),
        "--out",
        str(out),
        "--score-threshold",
        "0",
    ]
    monkeypatch.setattr("sys.argv", ["boxline", *argv])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    results = json.loads((out / "predictions.json").read_text())
    assert [(entry["width"], entry["height"]) for entry in results["images"]] == [(120, 90)]
    categories = {category["id"] for category in results["categories"]}
    assert {annotation["category_id"] for annotation in results["annotations"]} <= categories
    with Image.open(out / "mine.png") as drawn:
        assert drawn.width / drawn.height == pytest.approx(120 / 90, rel=0.01)


def test_every_stage_depends_on_the_modules_that_it_imports(
    built: Path, imports: dict[tuple[str, str], set[str]]
) -> None:
    """A template of dvc.yaml serves all datasets or systems, so a dependency is unused if none of them imports it."""
    missing, unused, used = {}, set(), set()
    for stage in stages_of(built):
        name, _, key = stage.name.partition("@")
        imported, declared = imports[name, key], declared_modules(built, stage)
        if undeclared := imported - set().union(*declared.values()):
            missing[stage.name] = sorted(undeclared)
        for dependency, modules in declared.items():
            (used if modules & imported else unused).add((name, dependency))
    assert missing == {}
    assert unused - used == set()


def stages_of(project: Path) -> list[PipelineStage]:
    with Repo(str(project)) as repo:
        return list(repo.index.stages)


def declared_modules(project: Path, stage: PipelineStage) -> dict[str, set[str]]:
    """The code that the stage depends on: the modules behind each dependency, a file or a package."""
    declared = {}
    for dependency in (str(d) for d in stage.deps):
        path = project / dependency
        if dependency.startswith("pipeline/"):
            files = path.rglob("*.py") if path.is_dir() else [path]
            declared[dependency] = {file.relative_to(project).as_posix() for file in files if is_module(file)}
    return declared


def is_module(path: Path) -> bool:
    return path.suffix == ".py" and path.name != "__init__.py"
