"""Reading the branch of recorded runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runs import last_metrics, restore_lockfile
from tests.support.mini_project import git
from tests.support.tiny_project import PROJECT

LOCK = "schema: '2.0'\nstages:\n  one:\n    cmd: echo 1\n"
RESTORE_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from flows.runs import restore_lockfile

resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
restore_lockfile(Path.cwd())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone whose origin has no recorded run."""
    git(tmp_path, "init", "--quiet", "origin")
    git(tmp_path, "clone", "--quiet", "origin", "clone")
    return tmp_path / "clone"


def record(clone: Path, **files: str) -> None:
    """Record a run in the origin, as another worker does, and fetch it."""
    origin = clone.parent / "origin"
    git(origin, "checkout", "--quiet", "-B", "runs")
    for name, text in files.items():
        (origin / name.replace("_", ".")).write_text(text)
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message", "a run")
    git(clone, "fetch", "--quiet", "origin")


def metrics_of(contents: dict[str, object]) -> str:
    return json.dumps({"metrics": {path: {"md5": "0" * 32, "content": content} for path, content in contents.items()}})


def test_last_metrics_have_only_files_that_the_run_had(folder: Path) -> None:
    """A worker that restored dvc.lock and ran only `validate` has no metrics files."""
    assert last_metrics(folder) == {}
    record(folder, run_json=metrics_of({"reports/a/metrics.json": {"AP": 0.25}, "reports/b/metrics.json": None}))
    assert last_metrics(folder) == {"reports/a/metrics.json": {"AP": 0.25}}


def test_lockfile_of_the_last_run_is_restored(folder: Path) -> None:
    assert restore_lockfile(folder) is None
    assert not (folder / "dvc.lock").exists()
    record(folder, dvc_lock=LOCK)
    assert restore_lockfile(folder) == "origin/runs"
    assert (folder / "dvc.lock").read_text() == LOCK


def test_lockfile_is_restored_atomically(folder: Path) -> None:
    """The disk is full after 20 bytes. A truncated dvc.lock would make every later run fail."""
    record(folder, dvc_lock=LOCK)
    argv = [sys.executable, "-c", RESTORE_ON_A_FULL_DISK]
    result = subprocess.run(
        argv, cwd=folder, env={**os.environ, "PYTHONPATH": str(PROJECT)}, check=False, capture_output=True, text=True
    )
    assert result.stderr.splitlines()[-1] == "OSError: [Errno 27] File too large"
    assert not (folder / "dvc.lock").exists()
