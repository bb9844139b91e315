"""What flows read from the branch of recorded runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runs import adopt_lock, last_metrics
from tests.support.mini_project import git
from tests.support.tiny_project import PROJECT

LOCK = "schema: '2.0'\nstages:\n  one:\n    cmd: echo 1\n"
ADOPT = """
import resource, sys
from pathlib import Path
from flows.runs import adopt_lock

resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
adopt_lock(Path.cwd(), Path("dvc.lock"))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone whose origin has no recorded run."""
    git(tmp_path, "init", "--quiet", "origin")
    git(tmp_path, "clone", "--quiet", "origin", "clone")
    return tmp_path / "clone"


def record(clone: Path, **files: str) -> None:
    """A run, as another worker has recorded and pushed it."""
    origin = clone.parent / "origin"
    git(origin, "checkout", "--quiet", "-B", "runs")
    for name, text in files.items():
        (origin / name.replace("_", ".")).write_text(text)
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message", "a run")
    git(clone, "fetch", "--quiet", "origin")


def metrics_of(contents: dict[str, object]) -> str:
    return json.dumps({"metrics": {path: {"md5": "0" * 32, "content": content} for path, content in contents.items()}})


def test_metrics_of_the_last_run_are_those_whose_file_it_had(folder: Path) -> None:
    """A worker that has adopted dvc.lock and ran `validate` alone has no file of metrics."""
    assert last_metrics(folder) == {}
    record(folder, run_json=metrics_of({"reports/a/metrics.json": {"AP": 0.25}, "reports/b/metrics.json": None}))
    assert last_metrics(folder) == {"reports/a/metrics.json": {"AP": 0.25}}


def test_the_lock_of_the_last_run_is_taken_over(folder: Path) -> None:
    assert adopt_lock(folder, folder / "dvc.lock") is None
    assert not (folder / "dvc.lock").exists()
    record(folder, dvc_lock=LOCK)
    assert adopt_lock(folder, folder / "dvc.lock") == "origin/runs"
    assert (folder / "dvc.lock").read_text() == LOCK


def test_a_lock_is_taken_over_whole_or_not_at_all(folder: Path) -> None:
    """Here the disk is full after twenty bytes; half a dvc.lock would stop every later run."""
    record(folder, dvc_lock=LOCK)
    words = [sys.executable, "-c", ADOPT]
    result = subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": str(PROJECT)}, check=False, capture_output=True, text=True
    )
    assert result.stderr.splitlines()[-1] == "OSError: [Errno 27] File too large"
    assert not (folder / "dvc.lock").exists()
