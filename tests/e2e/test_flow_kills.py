"""kill -9 at seeded moments of a run: the next one ends as if nothing had happened, and nothing is left behind.

A moment is the n-th time that a process of DVC, or of a stage, opens, makes, renames, links or removes a file below the
project. Just before it, some part of the whole dies: the stage, DVC, the flow, or the server.
"""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.workspace import WORKSPACE_VARIABLE
from tests.e2e.mini import flow_environment, flow_words, make_mini_project, run_flow
from tests.e2e.prefect_server import PrefectServer, prefect_server

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
if (COUNTED == "stage" and script == "stage.py") or (COUNTED == "dvc" and script == "dvc" and "repro" in sys.orig_argv):
    sys.addaudithook(watch)
"""

# What is counted, who dies, and how many moments are drawn of how many.
CASES = [
    ("stage", "itself", 3, 9),
    ("stage", "dvc", 3, 9),
    ("stage", "flow", 3, 9),
    ("dvc", "itself", 4, 70),
    ("dvc", "flow", 4, 70),
]
KILLS = [
    (counted, victim, moment)
    for number, (counted, victim, kills, events) in enumerate(CASES)
    for moment in random.Random(2017 + number).sample(range(1, events), kills)
]
OPTIONS = {"targets": ["download@coco"], "pull": False, "push": False}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, server: PrefectServer) -> str:
    """The dvc.lock of a run that nothing disturbs."""
    project = make_mini_project(tmp_path_factory.mktemp("undisturbed") / "project")
    assert run_flow(project, variables=server.variables, **OPTIONS)[0] == "Completed"
    return (project / "dvc.lock").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_mini_project(tmp_path / "project")


def start(project: Path, server: PrefectServer, counted: str, moment: int, victim: str) -> "subprocess.Popen[bytes]":
    """A run in which that dies then."""
    (project.parent / "hook").mkdir()
    (project.parent / "hook" / "sitecustomize.py").write_text(COUNT_AND_KILL)
    kill = json.dumps([f"{project}{os.sep}", counted, moment, victim, str(project.parent / "killed")])
    return subprocess.Popen(
        flow_words("pipeline", OPTIONS),
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
    return [*processes, *(path.name for path in (state / "holder.json", state / "params.yaml") if path.exists())]


def require_as_if_nothing_had_happened(project: Path, server: PrefectServer, undisturbed: str) -> None:
    assert run_flow(project, variables=server.variables, **OPTIONS)[0] == "Completed"
    assert (project / "dvc.lock").read_text() == undisturbed
    assert left_behind(project) == []
    assert server.unfinished() == []


@pytest.mark.parametrize(("counted", "victim", "moment"), KILLS)
def test_the_next_run_ends_like_an_undisturbed_one(
    project: Path, server: PrefectServer, undisturbed: str, counted: str, victim: str, moment: int
) -> None:
    killed = start(project, server, counted, moment, victim)
    code = killed.wait()
    assert (project.parent / "killed").exists()
    assert code == (-9 if victim == "flow" else 0)
    require_as_if_nothing_had_happened(project, server, undisturbed)


@pytest.mark.parametrize("moment", [3, 45])
def test_a_server_that_dies_costs_no_work(project: Path, tmp_path: Path, undisturbed: str, moment: int) -> None:
    """It is started again, as a team's own is by whatever watches it."""
    (tmp_path / "own").mkdir()
    with prefect_server(tmp_path / "own") as own:
        assert own.process is not None
        running = start(project, own, "dvc", moment, str(own.process.pid))
        while not (project.parent / "killed").exists():
            assert running.poll() is None
        own.kill()
        own.start()
        running.wait()
        require_as_if_nothing_had_happened(project, own, undisturbed)
