"""kill -9 at random moments of a run (with a fixed seed): the next run completes, and nothing is left behind.

A moment is the n-th time that `dvc repro`, `dvc push` or a stage opens, creates, renames, links or removes a file of
the project. Just before it, one process is killed: the stage, DVC, the flow or the server. Runs of the project "new"
do not pull or push. In the project "edited", a stage was edited after its outputs were built and pushed; runs pull and
push.
"""

import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from flows.workspace import WORKSPACE_VARIABLE
from tests.support.mini_project import flow_argv, flow_env
from tests.support.prefect_server import PrefectServer

pytestmark = pytest.mark.slow

# Python imports a sitecustomize module at every start. This one counts events on files of the project in DVC and in
# stages. The environment says which processes are counted, at which event a process is killed, and which one. A file
# keeps it from happening twice.
COUNT_AND_KILL = """
import json, os, pathlib, signal, sys

EVENTS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
FOLDER, COUNTED, MOMENT, VICTIM, KILLED = json.loads(os.environ["KILL"])
seen = 0

def watch(event, args):
    global seen
    if event in EVENTS and isinstance(args[0], (str, os.PathLike)):
        seen += os.path.abspath(args[0]).startswith(FOLDER)
        if seen == MOMENT and not os.path.exists(KILLED):
            seen += 1  # the next two lines are events, too
            pathlib.Path(KILLED).touch()
            os.kill(victim(), signal.SIGKILL)

def victim():
    if VICTIM == "itself":
        return os.getpid()
    if VICTIM == "dvc":
        import psutil
        return next(process.pid for process in psutil.Process().parents() if process.name() == "dvc")
    if VICTIM == "flow":
        return json.loads(pathlib.Path(FOLDER, ".dvc/tmp/boxline/owner.json").read_text())["process_id"]
    return int(VICTIM)

script = pathlib.Path(sys.orig_argv[1]).name if len(sys.orig_argv) > 1 else ""
if (COUNTED == "stage" and script == "stage.py") or (script == "dvc" and COUNTED in sys.orig_argv):
    sys.addaudithook(watch)
"""

# The project, the counted process, the killed process, and how many moments are drawn out of how many.
CASES = [
    ("new", "stage", "itself", 1, 15),
    ("new", "stage", "dvc", 2, 15),
    ("new", "stage", "flow", 2, 15),
    ("new", "repro", "itself", 3, 186),
    ("new", "repro", "flow", 3, 186),
    ("edited", "stage", "itself", 2, 9),
    ("edited", "stage", "flow", 1, 9),
    ("edited", "repro", "itself", 1, 186),
    ("edited", "repro", "flow", 1, 186),
    ("edited", "push", "itself", 1, 95),
]
# One kill of each victim belongs to the ordinary tests, the others are stress tests.
ORDINARY = [("new", "stage", "dvc"), ("edited", "stage", "itself"), ("edited", "repro", "flow")]
KILLS = [
    pytest.param(
        *(project, counted, victim, moment),
        marks=() if draw == 0 and (project, counted, victim) in ORDINARY else pytest.mark.stress,
    )
    for number, (project, counted, victim, kills, events) in enumerate(CASES)
    for draw, moment in enumerate(random.Random(2017 + number).sample(range(1, events), kills))
]
TARGETS = {"targets": ["download@coco"]}
OPTIONS = {"new": {**TARGETS, "pull": False, "push": False}, "edited": TARGETS}


class Projects:
    """The projects "new" and "edited", to copy, and the dvc.lock that an undisturbed run writes in each."""

    def __init__(self, new: Path, folder: Path, server: PrefectServer) -> None:
        self._originals = {"new": new, "edited": Path(shutil.copytree(new, folder / "edited"))}
        edited = self._originals["edited"]
        assert server.run_flow(edited, **OPTIONS["edited"])[0] == "Completed"
        self.lockfiles = {"new": (edited / "dvc.lock").read_text()}  # the same without pull and push
        stage = edited / "stage.py"
        stage.write_text(stage.read_text().replace("{name} {number}", "edited {name} {number}"))
        undisturbed = self.copy("edited", folder / "undisturbed")
        assert server.run_flow(undisturbed, **OPTIONS["edited"])[0] == "Completed"
        self.lockfiles["edited"] = (undisturbed / "dvc.lock").read_text()
        assert self.lockfiles["edited"] != self.lockfiles["new"]

    def copy(self, name: str, folder: Path) -> Path:
        return Path(shutil.copytree(self._originals[name], folder))


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory, server: PrefectServer, new_mini_project: Path) -> Projects:
    return Projects(new_mini_project, tmp_path_factory.mktemp("projects"), server)


def start_run(
    folder: Path, server: PrefectServer, project: str, counted: str, moment: int, victim: str
) -> "subprocess.Popen[bytes]":
    """Start a run in which the victim is killed at that moment."""
    hook = folder.parent / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(COUNT_AND_KILL)
    kill = json.dumps([f"{folder}{os.sep}", counted, moment, victim, str(folder.parent / "killed")])
    return subprocess.Popen(
        flow_argv("run_pipeline", OPTIONS[project]),
        cwd=folder,
        env=flow_env(**server.env, PYTHONPATH=str(hook), KILL=kill),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def leftovers(project: Path) -> list[str]:
    """Return processes, locks and temporary files of runs in the project."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(WORKSPACE_VARIABLE) == str(project) and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    state = project / ".dvc/tmp/boxline"
    files = [path.name for path in (state / "owner.json", state / "params.yaml") if path.exists()]
    rwlock = project / ".dvc/tmp/rwlock"  # DVC keeps the file, without entries
    locks = [path for paths in json.loads(rwlock.read_text()).values() for path in paths]
    return [*processes, *files, *locks, *map(str, project.glob(".*.partial*"))]


def assert_next_run_recovers(folder: Path, server: PrefectServer, project: str, lockfile: str) -> None:
    assert server.run_flow(folder, **OPTIONS[project])[0] == "Completed"
    assert (folder / "dvc.lock").read_text() == lockfile
    assert leftovers(folder) == []
    assert server.unfinished_runs() == []


@pytest.mark.parametrize(("project", "counted", "victim", "moment"), KILLS)
def test_next_run_after_a_kill_ends_like_an_undisturbed_one(
    tmp_path: Path, server: PrefectServer, projects: Projects, project: str, counted: str, victim: str, moment: int
) -> None:
    folder = projects.copy(project, tmp_path / "project")
    return_code = start_run(folder, server, project, counted, moment, victim).wait()
    assert (tmp_path / "killed").exists()
    assert return_code == (-9 if victim == "flow" else 0)
    assert_next_run_recovers(folder, server, project, projects.lockfiles[project])


@pytest.mark.parametrize("moment", [3, pytest.param(45, marks=pytest.mark.stress)])
def test_run_survives_a_restart_of_the_server(
    tmp_path: Path, server: PrefectServer, projects: Projects, moment: int
) -> None:
    folder = projects.copy("new", tmp_path / "project")
    assert server.process is not None
    running = start_run(folder, server, "new", "repro", moment, str(server.process.pid))
    while not (tmp_path / "killed").exists():
        assert running.poll() is None
        time.sleep(0.05)
    server.kill()
    server.start()
    running.wait()
    assert_next_run_recovers(folder, server, "new", projects.lockfiles["new"])
