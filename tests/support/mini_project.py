"""A DVC project with stages of Boxline's names that take a moment, for tests of what runs them.

Its params.yaml is the project's own. Stages copy and count bytes. faults/<stage> configures how a stage fails: one line
per run with an exit code, or with `hang` for a run that ignores every request to end.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.tiny_project import PROJECT, run_dvc

DVC_YAML = """
stages:
  download:
    foreach: [coco, digits]
    do:
      cmd: python stage.py download ${item}
      deps: [stage.py]
      outs: ["data/${item}/download", "reports/${item}/download.json"]
  validate:
    foreach: [coco]
    do:
      cmd: python stage.py validate ${item} data/${item}/download
      deps: [stage.py, "data/${item}/download"]
      outs: ["data/${item}/validate"]
  train:
    foreach: {coco_yolo: validate, digits_localizer: download}
    do:
      cmd: python stage.py train ${key} data/*/${item}
      deps: [stage.py, "data/coco/validate", "data/digits/download"]
      params: ["systems.${key}.train.batch_size"]
      outs: ["data/${key}/train"]
  evaluate:
    foreach: [coco_yolo]
    do:
      cmd: python stage.py evaluate ${item} data/${item}/train
      deps: [stage.py, "data/${item}/train"]
      outs: ["data/${item}/evaluate", "reports/${item}/plots"]
      metrics: ["reports/${item}/metrics.json"]
"""

STAGE = '''
"""python stage.py STAGE SUBJECT INPUT...: what a stage does, in a moment."""

import glob, json, os, pathlib, signal, sys, time

stage, subject, *inputs = sys.argv[1:]
name = f"{stage}@{subject}"
print(f"{name} begins", flush=True)
out = pathlib.Path("data", subject, stage)
out.mkdir(parents=True)

faults = pathlib.Path("faults", name)
if faults.exists():
    fault, *others = faults.read_text().split()
    faults.write_text("\\n".join(others)) if others else faults.unlink()
    if stage == "validate":
        report = pathlib.Path("reports", subject, "validate.md")
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text("# coco\\n\\n3 of 9 rows are in quarantine")
    if fault == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pathlib.Path(os.environ["BOXLINE_PROGRESS"]).write_text(json.dumps({"what": "images", "done": 1, "total": 4}))
        pathlib.Path("hanging").write_text(str(os.getpid()))
        while True:
            time.sleep(1)
    print(f"Error: {name} fails on request", file=sys.stderr)
    sys.exit(int(fault))

content = "".join(path.read_text() for folder in inputs for one in sorted(glob.glob(folder))
                  for path in sorted(pathlib.Path(one).iterdir()))
for number in range(3):
    (out / f"{number}.txt").write_text(f"{name} {number}\\n{content}")
if stage == "download":
    report = pathlib.Path("reports", subject, "download.json")
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps({"bytes": sum(path.stat().st_size for path in out.iterdir())}))
if stage == "evaluate":
    import numpy
    from PIL import Image
    plots = pathlib.Path("reports", subject, "plots")
    plots.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.zeros((40, 60, 3), numpy.uint8)).save(plots / "predictions.png")
    scores = {"AP": 0.25, "baseline_AP": 0.01, "oracle_AP": 0.9}
    (plots.parent / "metrics.json").write_text(json.dumps(scores))
'''


def make_mini_project(folder: Path) -> Path:
    """A Git repository with a fresh DVC project in `folder`; its default remote is a folder beside its data."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "stage.py").write_text(STAGE)
    (folder / ".gitignore").write_text("/data/\n/reports/\n/.remote/\n/faults/\n/hanging\n/*.log\n")
    shutil.copy(PROJECT / "params.yaml", folder)
    shutil.copy(PROJECT / "requirements.lock", folder)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    run_dvc(folder, "init", "--quiet")
    shutil.copy(PROJECT / ".dvc" / "config", folder / ".dvc" / "config")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "mini")
    return folder


def git(folder: Path, *words: str) -> str:
    """What Git says."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    result = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return result.stdout.strip()


def faults(project: Path, stage: str, *lines: str) -> None:
    """How the next runs of a stage go wrong."""
    (project / "faults").mkdir(exist_ok=True)
    (project / "faults" / stage).write_text("\n".join(lines))


def flow_argv(flow: str, parameters: Mapping[str, object]) -> list[str]:
    """Return a command that runs a flow in the working directory and prints its final state's name and message."""
    code = (
        f"import json, sys; import flows.tasks, flows.progress; from flows.{flow} import {flow} as flow; "
        "flows.tasks.FIRST_RETRY_DELAY_SECONDS = 0.1; flows.progress.ARTIFACT_DELAY_SECONDS = 1; "
        "state = flow(**json.loads(sys.argv[1]), return_state=True); print(json.dumps([state.name, state.message]))"
    )
    return [sys.executable, "-c", code, json.dumps(parameters)]


def flow_env(**env: str) -> dict[str, str]:
    """Return the environment of a process that runs a flow with the code and the Python of this checkout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    python_path = os.pathsep.join([*filter(None, [env.pop("PYTHONPATH", "")]), str(PROJECT)])
    return {**os.environ, "PATH": path, "PYTHONPATH": python_path, "DVC_NO_ANALYTICS": "1", **env}
