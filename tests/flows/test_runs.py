"""What flows read from the branch of recorded runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runs import adopt_lock
from tests.e2e.mini import git
from tests.e2e.tiny import PROJECT

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
