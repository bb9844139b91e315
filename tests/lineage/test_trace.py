"""`boxline trace` from a file to its run; the printed commands are executed, too."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.record import record
from pipeline.cli.trace import trace
from pipeline.core.errors import BoxlineError
from tests.support.recorded_project import DRAW, METRICS, TOTAL, git
from tests.support.tiny_project import run_dvc

pytestmark = pytest.mark.slow

Captured = pytest.CaptureFixture[str]

CHAIN = [
    "",
    "reports/metrics.json is an output of the stage score",
    'param     params.yaml: source = "https://example.org/numbers"',
    "param     params.yaml: weight = 10",
    "with the lineage",
    "  score",
    f"    output  reports/metrics.json ({METRICS})",
    "    input   1 file of the commit",
    "  total",
    f"    output  data/total.txt ({TOTAL})",
    "    input   1 file of the commit",
    "  draw",
    f"    output  data/draw ({DRAW})",
    "    input   1 file of the commit",
    "",
]


@pytest.fixture
def project(project: Path) -> Path:
    git(project, "commit", "--quiet", "--all", "--message", "remote")
    return project


@pytest.fixture
def copied_metrics(project: Path, tmp_path: Path) -> Path:
    """Return a copy of the metrics under another name."""
    return Path(shutil.copy(project / "reports" / "metrics.json", tmp_path / "scores of Tuesday.json"))


def run_record(captured: Captured, flow: str | None = None) -> str:
    record(flow_run_id=flow)
    return captured.readouterr().out.split()[1]


def run_trace(captured: Captured, file: Path) -> list[str]:
    assert trace(file) == 0
    return captured.readouterr().out.splitlines()


def ended_at(project: Path, commit: str) -> str:
    return git(project, "show", "--no-patch", "--format=%s", commit).split()[2]


def test_copy_is_traced_to_latest_run_that_produced_it(project: Path, copied_metrics: Path, capsys: Captured) -> None:
    head = git(project, "rev-parse", "HEAD")
    first = run_record(capsys)
    (project / "make.py").write_text((project / "make.py").read_text() + "\n")
    second = run_record(capsys, "flow-7")
    (project / "dvc.lock").unlink()
    printed = run_trace(capsys, copied_metrics)
    assert printed[:4] == [
        f"{copied_metrics} (MD5 {METRICS})",
        f"run       {second}, ended {ended_at(project, second)}, flow run flow-7",
        f"          identical output in earlier runs: {first[:7]}",
        f"code      {head} with uncommitted changes of make.py",
    ]
    assert printed[4].startswith("python    3.")
    assert printed[5].startswith("packages  requirements.lock, SHA-256 ")
    assert printed[6 : 6 + len(CHAIN)] == CHAIN
    assert printed[6 + len(CHAIN) :] == [
        "To restore it in a separate folder:",
        f"  git worktree add --detach ../run-{second[:7]} {second}",
        f"  dvc --cd ../run-{second[:7]} remote modify --local store url {project.parent}/remote",
        f"  cd ../run-{second[:7]}",
        "  dvc pull reports/metrics.json",
        "To rebuild it there from the sources:",
        "  dvc repro --force score",
    ]


def test_printed_commands_restore_and_rebuild_the_file(
    project: Path, copied_metrics: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = run_record(capsys)
    shutil.rmtree(project / "reports")
    commands = [line.strip() for line in run_trace(capsys, copied_metrics) if line.startswith("  ")][-5:]
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    metrics = project.parent / f"run-{commit[:7]}" / "reports" / "metrics.json"
    subprocess.run(" && ".join(commands[:-1]), shell=True, cwd=project, check=True, capture_output=True)
    assert metrics.read_bytes() == copied_metrics.read_bytes()
    metrics.unlink()
    subprocess.run(commands[-1], shell=True, cwd=metrics.parents[1], check=True, capture_output=True)
    assert metrics.read_bytes() == copied_metrics.read_bytes()
    assert run_dvc(metrics.parents[1], "status").stdout == "Data and pipelines are up to date.\n"


def test_clone_uses_published_runs(
    project: Path, copied_metrics: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = run_record(capsys)
    git(project.parent, "clone", "--quiet", str(project), "clone")
    monkeypatch.chdir(project.parent / "clone")
    assert run_trace(capsys, copied_metrics)[1] == f"run       {commit}, ended {ended_at(project, commit)}"


def test_unrecorded_file_is_traced_to_workspace(project: Path, copied_metrics: Path, capsys: Captured) -> None:
    printed = run_trace(capsys, copied_metrics)
    assert printed[1:3] == [
        "run       not recorded, only in the workspace; `boxline record` records it",
        f"code      {git(project, 'rev-parse', 'HEAD')}",
    ]
    assert printed[-4:] == [
        "To restore it:",
        "  dvc pull reports/metrics.json",
        "To rebuild it from the sources:",
        "  dvc repro --force score",
    ]


def test_sources_of_download_are_printed_if_its_report_is_available(project: Path, capsys: Captured) -> None:
    report = project / "reports" / "numbers" / "download.json"
    entry = {"origin": "https://example.org/a.zip", "size_bytes": 1234, "md5": "m", "sha256": "s", "validator": None}
    (project / "report.json").write_text(json.dumps({"files": {"a.zip": entry}}))
    stage = {"cmd": f"mkdir -p {report.parent} && cp report.json {report}", "outs": ["reports/numbers/download.json"]}
    stages = project / "dvc.yaml"
    stages.write_text(f"{stages.read_text()}  fetch: {json.dumps(stage)}\n")
    run_dvc(project, "repro", "--single-item", "fetch")
    run_record(capsys)
    source = "    source  https://example.org/a.zip (a.zip, 1,234 bytes, SHA-256 s)"
    assert source in run_trace(capsys, report)
    copy = Path(shutil.copy(report, project / "copy.json"))
    report.unlink()
    shutil.rmtree(project / ".dvc" / "cache")
    assert source not in run_trace(capsys, copy)


def test_unknown_content_raises_error(project: Path, copied_metrics: Path, capsys: Captured) -> None:
    run_record(capsys)
    copied_metrics.write_text('{"weighted_bytes": 541}')
    with pytest.raises(BoxlineError) as raised:
        trace(copied_metrics)
    assert str(raised.value) == (
        "Neither a run on the branch `runs` nor the workspace's dvc.lock has an output with the content of "
        f"{copied_metrics} (MD5 c795a42ba6d8aff98f0f6759d2310487). It was changed afterwards, or its run was not "
        "recorded here; fetch the runs of others: git fetch origin runs"
    )
    with pytest.raises(BoxlineError) as raised:
        trace(Path("metrics.json"))
    assert str(raised.value) == (
        "There is no file metrics.json. Expected one that a run produced, such as reports/NAME/metrics.json."
    )
