"""Checkouts on other people's machines: line ends, and names of folders."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.mini_project import git
from tests.support.tiny_project import PROJECT

SCRIPT = "pipeline/stages/run"


def test_stage_runs_in_a_checkout_with_converted_line_ends(tmp_path: Path) -> None:
    """`core.autocrlf=true` is usual in WSL. The folder has the name of one that a browser downloaded twice."""
    origin, copy = tmp_path / "origin", tmp_path / "my project ü [1] (2)"
    for name in (".gitattributes", SCRIPT, "params.yaml", "dvc.yaml", "Makefile"):
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, origin / name)
    shutil.copy(next((PROJECT / "docs" / "images").rglob("*.png")), origin / "plot.png")
    (origin / "windows.yaml").write_bytes(b"a: 1\r\n")
    git(origin, "init", "--quiet")
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "--message", "all")
    git(tmp_path, "-c", "core.autocrlf=true", "clone", "--quiet", str(origin), str(copy))
    for path in origin.rglob("*.y*ml"):
        assert b"\r" not in (copy / path.relative_to(origin)).read_bytes(), path
    assert (copy / "plot.png").read_bytes() == (origin / "plot.png").read_bytes()

    env = {**os.environ, "PYTHONPATH": str(PROJECT), "VIRTUAL_ENV": sys.prefix}
    result = subprocess.run([SCRIPT, "sample", "--help"], cwd=copy, env=env, check=False, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    assert b"--out" in result.stdout
