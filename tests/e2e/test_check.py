"""`boxline check` as a user and as CI run it, on a project that DVC built."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ruamel.yaml import YAML

from pipeline.core import schema
from pipeline.core.parquet import read_table, write_table
from tests.e2e.test_repro import change_params
from tests.support.tiny_project import PROJECT, run_dvc

pytestmark = pytest.mark.slow

DATASETS = ("digits", "coco", "rectangles", "snacks", "photographs")


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy", symlinks=True))


def check(project: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli.main", "check", *words]
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": "", "DVC_NO_ANALYTICS": "1", **variables}
    return subprocess.run(command, cwd=project, check=False, capture_output=True, text=True, env=environment)


def git(project: Path, *words: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, *words], cwd=project, check=True, capture_output=True)


def commit(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "built")


def states(project: Path) -> dict[str, tuple[int, int]]:
    """Of every file, what a write would change."""
    files = (path for path in project.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.suffix != ".pyc"}


def statuses(output: str) -> dict[str, str]:
    """By check its line, with single spaces, from the output for one dataset."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in output.splitlines() if line.strip()}


def test_valid_project_passes_and_nothing_is_written(built: Path) -> None:
    before = states(built)
    result = check(built)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1].startswith("5 of 5 datasets pass. Warnings: ")
    for dataset in DATASETS:
        assert f"\n{dataset}: " in f"\n{result.stdout}"
    assert states(built) == before


def test_stage_and_command_report_the_same_results(built: Path) -> None:
    reported = statuses(check(built, "coco", "--verbose").stdout)
    report = (built / "reports" / "coco" / "validate.md").read_text()
    checks = re.findall(r"^\| (\w+) \| (error|warning) \| (\w+) \|", report, re.MULTILINE)
    assert len(checks) > 30
    for name, severity, status in checks:
        assert reported[name].startswith(f"{severity} {status}")


def test_invalid_rows_fail_with_github_annotation_and_summary(copy: Path) -> None:
    path = copy / "data" / "coco" / "tables" / "boxes.parquet"
    boxes = read_table(path, schema.OUTLINED_BOXES)
    negative = pc.if_else(pa.array([at in (2, 5) for at in range(boxes.num_rows)]), -3.0, boxes["width"])
    write_table(path, boxes.set_column(boxes.schema.get_field_index("width"), "width", negative), schema.OUTLINED_BOXES)
    summary = copy.parent / "summary.md"
    result = check(copy, "coco", "snacks", "--github", GITHUB_STEP_SUMMARY=str(summary))
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[-1].startswith("1 of 2 datasets pass. Failing: coco. Warnings: ")
    [error] = [line for line in lines if line.startswith("::error ")]
    assert error.startswith("::error title=coco fails::2 of ")
    assert "box_size_not_positive 2; first: boxes row 3, box " in error
    assert summary.read_text().startswith("## coco: fails\n")
    assert "\n## snacks: passes\n" in summary.read_text()


def test_missing_tables_are_reported_with_commands(copy: Path) -> None:
    shutil.rmtree(copy / "data" / "coco" / "inspect")
    result = check(copy)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        "Error: data/ has no tables of coco. Build them with `dvc repro tables@coco inspect@coco`, or fetch those of "
        "this commit with `dvc pull tables@coco inspect@coco` if they were pushed.\n"
    )
    run_dvc(copy, "repro", "tables@coco", "inspect@coco")
    assert check(copy).returncode == 0


def test_drift_is_measured_against_committed_data(copy: Path) -> None:
    status = statuses(check(copy, "digits", "--against", "HEAD", "--verbose").stdout)["drift_of_image_count"]
    assert re.fullmatch(r"warning not run HEAD \([0-9a-f]{7}\) has no tables of digits", status)
    commit(copy)
    same = statuses(check(copy, "digits", "--against", "HEAD", "--verbose").stdout)
    assert same["drift_of_image_count"] == "warning passed 0 56 → 56"
    assert same["drift_of_class_frequencies"] == "warning passed 0 0.000"
    change_params(copy, datasets__digits__sample__train_images=96)
    run_dvc(copy, "repro", "inspect@digits")
    moved = check(copy, "digits", "--against", "HEAD")
    assert statuses(moved.stdout)["drift_of_image_count"] == "warning warned 1 56 → 104"
    assert moved.returncode == 0
    checks = {"severity": "error", "max_change": 0.5}
    change_params(copy, datasets__digits__validate__checks={"drift_of_image_count": checks})
    moved = check(copy, "digits", "--against", "HEAD")
    assert statuses(moved.stdout)["drift_of_image_count"] == "error failed 1 56 → 104"
    assert "\nFAILS: drift_of_image_count found 1, first: 56 → 104\n" in moved.stdout
    assert moved.returncode == 1


def test_unknown_revision_is_reported(built: Path) -> None:
    result = check(built, "digits", "--against", "yesterday")
    assert result.returncode == 1
    assert result.stderr == "Error: 'yesterday' is not a Git revision. `git log --oneline` lists them.\n"


def cloned(project: Path, folder: Path) -> Path:
    git(folder, "clone", "--quiet", str(project), str(folder / "clone"))
    return folder / "clone"


def run_workflow(project: Path) -> str:
    """Return what the steps of the workflow before the check print."""
    workflow = YAML(typ="safe", pure=True).load(PROJECT / ".github" / "workflows" / "data-validation.yml")
    steps = itertools.takewhile(lambda step: step.get("name") != "Check", workflow["jobs"]["check"]["steps"])
    commands = [step.get("run", "").split() for step in steps]
    words = [command[1:] for command in commands if command[:1] == [".venv/bin/dvc"]]
    assert [command[0] for command in words] == ["pull", "repro"]
    return "".join(run_dvc(project, *command).stdout for command in words)


def test_workflow_pulls_tables_and_reruns_changed_stages(copy: Path, tmp_path: Path) -> None:
    """Nobody waits for a download of 20 GB to check tables."""
    run_dvc(copy, "remote", "add", "--default", "store", str(tmp_path / "remote"))
    run_dvc(copy, "push")
    commit(copy)
    clone = cloned(copy, tmp_path)
    assert "Running stage" not in run_workflow(clone)
    assert not (clone / "data" / "coco" / "download").exists()
    assert (clone / "reports" / "coco" / "validate.html").exists()
    result = check(clone, "--against", "HEAD")
    assert result.returncode == 0, result.stderr
    assert "not run" not in result.stdout

    change_params(clone, datasets__digits__sample__train_images=96)
    stages = re.findall(r"Running stage '(.+)'", run_workflow(clone))
    assert stages == ["sample@digits", "download@digits", "tables@digits", "inspect@digits"]
    drift = statuses(check(clone, "digits", "--against", "HEAD").stdout)["drift_of_image_count"]
    assert drift == "warning warned 1 56 → 104"


def test_workflow_draws_samples_if_remote_is_missing(copy: Path, tmp_path: Path) -> None:
    """As in this repository: without dvc.lock, and with a remote that is a folder of one machine."""
    run_dvc(copy, "remote", "add", "--default", "store", str(tmp_path / "nowhere"))
    git(copy, "commit", "--quiet", "--all", "--message", "a remote that is not here")
    clone = cloned(copy, tmp_path)
    assert not (clone / "dvc.lock").exists()
    run_workflow(clone)
    result = check(clone, "--against", "HEAD")
    assert result.returncode == 0, result.stderr
    assert statuses(result.stdout)["drift_of_box_count"].startswith("warning not run ")
