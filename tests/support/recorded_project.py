"""A DVC project with three quick stages, for tests with real DVC and Git: a folder, a file made of it, and metrics."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.tiny_project import PROJECT, run_dvc

GIT = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com"]

MAKE = """\
import json, re, sys
from pathlib import Path

count, weight = (int(value) for value in re.findall(r": (\\d+)", Path("params.yaml").read_text()))
draw, total, metrics = Path("data/draw"), Path("data/total.txt"), Path("reports/metrics.json")
if sys.argv[1] == "draw":
    draw.mkdir(parents=True)
    for number in range(count):
        (draw / f"{number}.txt").write_text(f"number {number}\\n" * (number + 1))
if sys.argv[1] == "total":
    total.write_text("".join(path.read_text() for path in sorted(draw.iterdir())))
if sys.argv[1] == "score":
    metrics.parent.mkdir(exist_ok=True)
    metrics.write_text(json.dumps({"weighted_bytes": weight * total.stat().st_size}) + "\\n")
"""

PARAMS = """\
count: 3
weight: 10
source: https://me:hunter2@example.org/numbers?token=abc
"""

STAGES = """\
stages:
  draw:
    cmd: {python} make.py draw
    deps: [make.py]
    params: [count]
    outs: [data/draw]
  total:
    cmd: {python} make.py total
    deps: [make.py, data/draw]
    outs: [data/total.txt]
  score:
    cmd: {python} make.py score
    deps: [make.py, data/total.txt]
    params: [weight, source]
    metrics: [reports/metrics.json]
"""

DRAW = "f9191158ff8a4bbf2ec6bb3c4d731f6c.dir"
"""Hash of data/draw. The next ones are those of its three files, of data/total.txt and of reports/metrics.json."""

FIRST = "b983a539b0c626fd06c31b0a148d65d3"
SECOND = "220a7e5940a0f27f4b4c52374f304722"
THIRD = "f9854c51bbb64c51814768578ffb7763"
TOTAL = "ea30dcbf5c2fe28d7694662a3120a767"
METRICS = "52316b4aed0bd1c16b66ddbc68c42037"


def git(folder: Path, *args: str) -> str:
    return subprocess.run([*GIT, *args], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def make_project(folder: Path) -> Path:
    """Create the project and run `dvc repro`; it has one commit on `main`, without dvc.lock."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    run_dvc(folder, "init", "--quiet")
    (folder / "make.py").write_text(MAKE)
    (folder / "params.yaml").write_text(PARAMS)
    (folder / "requirements.lock").write_text("dvc==3.67.1\n")
    (folder / "dvc.yaml").write_text(STAGES.format(python=shlex.quote(sys.executable)))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "numbers")
    run_dvc(folder, "repro", "--quiet")
    return folder


def boxline(folder: Path, *args: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a subprocess, as a user does. `env` are further environment variables."""
    command = [sys.executable, "-m", "pipeline.cli.main", *args]
    full_env = {**os.environ, "PYTHONPATH": str(PROJECT), "DVC_NO_ANALYTICS": "1", **env}
    result = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, env=full_env)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def stored(remote: Path, oid: str) -> Path:
    """Return the path of an object in a local remote or cache."""
    return remote / "files" / "md5" / oid[:2] / oid[2:]
