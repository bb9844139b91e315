"""kill -9 at seeded moments of a run: the next one ends as if nothing had happened, and nothing is left behind.

A moment is the n-th time that `dvc repro`, `dvc push` or a stage opens, makes, renames, links or removes a file below
the project. Just before it, some part of the whole dies: the stage, DVC, the flow, or the server. In a new project
nothing is pulled or pushed; in one whose stage was edited after everything had been done and pushed, both are.
"""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from flows.workspace import WORKSPACE_VARIABLE
from tests.support.mini_project import flow_environment, flow_words, make_mini_project, run_flow
from tests.support.prefect_server import PrefectServer, prefect_server

pytestmark = pytest.mark.slow

# Python runs a module of this name at every start. In DVC and in stages it counts what happens to files of the project.
# Which of them counts, when and who dies is in the environment; what has happened once does not happen again.
COUNT_AND_KILL = """
import json, os, pathlib, signal, sys

KINDS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
FOLDER, COUNTED, LAST, VICTIM, ONCE = json.loads(os.environ["KILL"])
seen = 0

def watch(event, words):
    global seen
    if event in KINDS and isinstance(words[0], (str, os.PathLike)):
        seen += os.path.abspath(words[0]).startswith(FOLDER)
        if seen == LAST and not os.path.exists(ONCE):
            seen += 1  # what follows are events too
            pathlib.Path(ONCE).touch()
            os.kill(victim(), signal.SIGKILL)

def victim():
    if VICTIM == "itself":
        return os.getpid()
    if VICTIM == "dvc":
        import psutil
        return next(process.pid for process in psutil.Process().parents() if process.name() == "dvc")
    if VICTIM == "flow":
        return json.loads(pathlib.Path(FOLDER, ".dvc/tmp/boxline/holder.json").read_text())["process_id"]
    return int(VICTIM)

script = pathlib.Path(sys.orig_argv[1]).name if len(sys.orig_argv) > 1 else ""
if (COUNTED == "stage" and script == "stage.py") or (script == "dvc" and COUNTED in sys.orig_argv):
    sys.addaudithook(watch)
"""

# The project, what is counted in it, who dies, and how many moments are drawn of how many.
CASES = [
    ("new", "stage", "itself", 1, 15),
    ("new", "stage", "dvc", 2, 15),
    ("new", "stage", "flow", 2, 15),
    ("new", "repro", "itself", 3, 186),
    ("new", "repro", "flow", 3, 186),
    ("made", "stage", "itself", 2, 9),
    ("made", "stage", "flow", 1, 9),
    ("made", "repro", "itself", 1, 186),
    ("made", "repro", "flow", 1, 186),
    ("made", "push", "itself", 1, 95),
]
KILLS = [
    (kind, counted, victim, moment)
    for number, (kind, counted, victim, kills, events) in enumerate(CASES)
    for moment in random.Random(2017 + number).sample(range(1, events), kills)
]
TARGETS = {"targets": ["download@coco"]}
OPTIONS = {"new": {**TARGETS, "pull": False, "push": False}, "made": TARGETS}


class Projects:
    """Copies of a new project, and of one that was edited after everything had been done and pushed."""

    def __init__(self, folder: Path, server: PrefectServer) -> None:
        self.masters = {kind: folder / kind for kind in OPTIONS}
        make_mini_project(self.masters["new"])
        made = Path(shutil.copytree(self.masters["new"], self.masters["made"]))
        assert run_flow(made, variables=server.variables, **OPTIONS["made"])[0] == "Completed"
        stage = made / "stage.py"
        stage.write_text(stage.read_text().replace("{name} {number}", "edited {name} {number}"))
        self.undisturbed = {}
        for kind in OPTIONS:
            project = self.copy(kind, folder / f"undisturbed-{kind}")
            assert run_flow(project, variables=server.variables, **OPTIONS[kind])[0] == "Completed"
            self.undisturbed[kind] = (project / "dvc.lock").read_text()
        assert self.undisturbed["made"] != (made / "dvc.lock").read_text()

    def copy(self, kind: str, folder: Path) -> Path:
        return Path(shutil.copytree(self.masters[kind], folder))


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory, server: PrefectServer) -> Projects:
    return Projects(tmp_path_factory.mktemp("projects"), server)


def start(
    project: Path, server: PrefectServer, kind: str, counted: str, moment: int, victim: str
) -> "subprocess.Popen[bytes]":
    """A run in which that dies then."""
    (project.parent / "hook").mkdir()
    (project.parent / "hook" / "sitecustomize.py").write_text(COUNT_AND_KILL)
    kill = json.dumps([f"{project}{os.sep}", counted, moment, victim, str(project.parent / "killed")])
    return subprocess.Popen(
        flow_words("pipeline", OPTIONS[kind]),
        cwd=project,
        env=flow_environment(**server.variables, PYTHONPATH=str(project.parent / "hook"), KILL=kill),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def left_behind(project: Path) -> list[str]:
    """Processes, locks and other traces of runs in that project."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(WORKSPACE_VARIABLE) == str(project) and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    state = project / ".dvc/tmp/boxline"
    files = [path.name for path in (state / "holder.json", state / "params.yaml") if path.exists()]
    rwlock = project / ".dvc/tmp/rwlock"  # DVC keeps the file, and in it who reads and writes
    locks = [path for paths in json.loads(rwlock.read_text()).values() for path in paths]
    return [*processes, *files, *locks, *project.glob(".*.partial")]


def require_as_if_nothing_had_happened(project: Path, server: PrefectServer, kind: str, undisturbed: str) -> None:
    assert run_flow(project, variables=server.variables, **OPTIONS[kind])[0] == "Completed"
    assert (project / "dvc.lock").read_text() == undisturbed
    assert left_behind(project) == []
    assert server.unfinished() == []


@pytest.mark.parametrize(("kind", "counted", "victim", "moment"), KILLS)
def test_the_next_run_ends_like_an_undisturbed_one(
    tmp_path: Path, server: PrefectServer, projects: Projects, kind: str, counted: str, victim: str, moment: int
) -> None:
    project = projects.copy(kind, tmp_path / "project")
    killed = start(project, server, kind, counted, moment, victim)
    code = killed.wait()
    assert (tmp_path / "killed").exists()
    assert code == (-9 if victim == "flow" else 0)
    require_as_if_nothing_had_happened(project, server, kind, projects.undisturbed[kind])


@pytest.mark.parametrize("moment", [3, 45])
def test_a_server_that_dies_costs_no_work(tmp_path: Path, projects: Projects, moment: int) -> None:
    """It is started again, as a team's own is by whatever watches it."""
    project = projects.copy("new", tmp_path / "project")
    (tmp_path / "own").mkdir()
    with prefect_server(tmp_path / "own") as own:
        assert own.process is not None
        running = start(project, own, "new", "repro", moment, str(own.process.pid))
        while not (tmp_path / "killed").exists():
            assert running.poll() is None
        own.kill()
        own.start()
        running.wait()
        require_as_if_nothing_had_happened(project, own, "new", projects.undisturbed["new"])
