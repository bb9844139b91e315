"""From a file back to its run, and the commands that are printed, which are run."""

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
    "reports/metrics.json was made by the stage score",
    'with      params.yaml: source = "https://example.org/numbers"',
    "with      params.yaml: weight = 10",
    "from",
    "  score",
    f"    made  reports/metrics.json ({METRICS})",
    "    read  1 file of the commit",
    "  total",
    f"    made  data/total.txt ({TOTAL})",
    "    read  1 file of the commit",
    "  draw",
    f"    made  data/draw ({DRAW})",
    "    read  1 file of the commit",
    "",
]
PACKAGES = "packages  requirements.lock, SHA-256 35e0d60c"


@pytest.fixture
def project(project: Path) -> Path:
    git(project, "commit", "--quiet", "--all", "--message", "remote")
    return project


@pytest.fixture
def mailed(project: Path, tmp_path: Path) -> Path:
    """A copy of the metrics under another name."""
    return Path(shutil.copy(project / "reports" / "metrics.json", tmp_path / "scores of Tuesday.json"))


def recorded(captured: Captured, flow: str | None = None) -> str:
    record(None, flow, None)
    return captured.readouterr().out.split()[1]


def traced(captured: Captured, file: Path) -> list[str]:
    assert trace(file) == 0
    return captured.readouterr().out.splitlines()


def ended(project: Path, commit: str) -> str:
    return git(project, "show", "--no-patch", "--format=%s", commit).split()[2]


def test_a_copy_is_traced_to_the_last_run_that_made_it(project: Path, mailed: Path, capsys: Captured) -> None:
    head = git(project, "rev-parse", "HEAD")
    first = recorded(capsys)
    (project / "make.py").write_text((project / "make.py").read_text() + "\n")
    second = recorded(capsys, "flow-7")
    (project / "dvc.lock").unlink()
    printed = traced(capsys, mailed)
    assert printed[:4] == [
        f"{mailed} (MD5 {METRICS})",
        f"run       {second}, ended {ended(project, second)}, flow run flow-7",
        f"          the same came out of {first[:7]} before",
        f"code      {head}, and uncommitted changes of make.py",
    ]
    assert printed[4].startswith("python    3.")
    assert printed[5].startswith("packages  requirements.lock, SHA-256 ")
    assert printed[6 : 6 + len(CHAIN)] == CHAIN
    assert printed[6 + len(CHAIN) :] == [
        "To have it back, in a folder of its own:",
        f"  git worktree add --detach ../run-{second[:7]} {second}",
        f"  dvc --cd ../run-{second[:7]} remote modify --local store url {project.parent}/remote",
        f"  cd ../run-{second[:7]}",
        "  dvc pull reports/metrics.json",
        "To build it again there, from the sources:",
        "  dvc repro --force score",
    ]


def test_the_printed_commands_bring_it_back_and_build_it_again(
    project: Path, mailed: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = recorded(capsys)
    shutil.rmtree(project / "reports")
    commands = [line.strip() for line in traced(capsys, mailed) if line.startswith("  ")][-5:]
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    metrics = project.parent / f"run-{commit[:7]}" / "reports" / "metrics.json"
    subprocess.run(" && ".join(commands[:-1]), shell=True, cwd=project, check=True, capture_output=True)
    assert metrics.read_bytes() == mailed.read_bytes()
    metrics.unlink()
    subprocess.run(commands[-1], shell=True, cwd=metrics.parents[1], check=True, capture_output=True)
    assert metrics.read_bytes() == mailed.read_bytes()
    assert run_dvc(metrics.parents[1], "status").stdout == "Data and pipelines are up to date.\n"


def test_a_clone_knows_the_published_runs(
    project: Path, mailed: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = recorded(capsys)
    git(project.parent, "clone", "--quiet", str(project), "clone")
    monkeypatch.chdir(project.parent / "clone")
    assert traced(capsys, mailed)[1] == f"run       {commit}, ended {ended(project, commit)}"


def test_what_is_not_recorded_is_found_in_the_workspace(project: Path, mailed: Path, capsys: Captured) -> None:
    printed = traced(capsys, mailed)
    assert printed[1:3] == [
        "run       not recorded: the workspace's own; `boxline record` records it",
        f"code      {git(project, 'rev-parse', 'HEAD')}",
    ]
    assert printed[-4:] == [
        "To have it back:",
        "  dvc pull reports/metrics.json",
        "To build it again, from the sources:",
        "  dvc repro --force score",
    ]


def test_a_download_tells_its_addresses_while_its_report_is_at_hand(project: Path, capsys: Captured) -> None:
    report = project / "reports" / "numbers" / "download.json"
    brought = {"origin": "https://example.org/a.zip", "size_bytes": 1234, "md5": "m", "sha256": "s", "validator": None}
    (project / "report.json").write_text(json.dumps({"files": {"a.zip": brought}}))
    stage = {"cmd": f"mkdir -p {report.parent} && cp report.json {report}", "outs": ["reports/numbers/download.json"]}
    stages = project / "dvc.yaml"
    stages.write_text(f"{stages.read_text()}  fetch: {json.dumps(stage)}\n")
    run_dvc(project, "repro", "--single-item", "fetch")
    recorded(capsys)
    source = "    from  https://example.org/a.zip (a.zip, 1,234 bytes, SHA-256 s)"
    assert source in traced(capsys, report)
    copy = Path(shutil.copy(report, project / "copy.json"))
    report.unlink()
    shutil.rmtree(project / ".dvc" / "cache")
    assert source not in traced(capsys, copy)


def test_what_nobody_made_is_said(project: Path, mailed: Path, capsys: Captured) -> None:
    recorded(capsys)
    mailed.write_text('{"weighted_bytes": 541}')
    with pytest.raises(BoxlineError) as raised:
        trace(mailed)
    assert str(raised.value) == (
        f"No run on the branch `runs` and no stage of the workspace's dvc.lock made {mailed} (MD5 "
        "c795a42ba6d8aff98f0f6759d2310487). It was changed since, or its run was not recorded; where others recorded "
        "it, fetch theirs: git fetch origin runs"
    )
    with pytest.raises(BoxlineError) as raised:
        trace(Path("metrics.json"))
    assert str(raised.value) == (
        "There is no file metrics.json. Expected one that a run made, such as reports/NAME/metrics.json."
    )
