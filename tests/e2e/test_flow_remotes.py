"""Runs whose remote fails: a real S3 server, at times behind a proxy that tears connections down."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mini_project import git, make_mini_project, run_flow
from tests.support.prefect_server import PrefectServer
from tests.support.servers import FlakyProxy, seaweed
from tests.support.tiny_project import run_dvc

pytestmark = pytest.mark.slow

TARGETS = {"targets": ["validate@coco"]}
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "team",
    "AWS_SECRET_ACCESS_KEY": "right",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
}

# Python runs a module of this name at every start: each push of DVC leaves a line.
COUNT_PUSHES = """
import os, sys
if "push" in sys.orig_argv:
    with open(os.environ["PUSHES"], "a") as file:
        file.write("push\\n")
"""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed(tmp_path_factory.mktemp("seaweed"), "store", "team", "right") as address:
        yield address


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = make_mini_project(tmp_path / "project")
    run_dvc(project, "remote", "add", "--default", "store", f"s3://store/{tmp_path.name}")
    return project


def run(
    project: Path, server: PrefectServer, endpoint: str, git_remote: str | None = None, **variables: str
) -> tuple[str, str]:
    remote = {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": endpoint, **variables}
    return run_flow(project, variables={**server.variables, **remote}, git_remote=git_remote, **TARGETS)


def test_a_push_that_fails_twice_is_done_at_the_third_time(
    project: Path, server: PrefectServer, endpoint: str, tmp_path: Path
) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(COUNT_PUSHES)
    pushes = tmp_path / "pushes"
    refused: set[str] = set()

    def refuse(path: str) -> bool:
        """One object, in the first two pushes."""
        if "/files/" in path and not refused:
            refused.add(path)
        return path in refused and len(pushes.read_text().splitlines()) <= 2

    with FlakyProxy(endpoint, refuse) as proxy:
        hook = {"PYTHONPATH": str(tmp_path / "hook"), "PUSHES": str(pushes)}
        assert run(project, server, proxy.address, **hook)[0] == "Completed"
    tasks = server.ask("task_runs/filter", flow_runs={"id": {"any_": [server.flow_runs()[0]["id"]]}})
    assert {task["name"]: task["run_count"] for task in tasks}["push"] == 3
    objects = [path for path in proxy.uploaded if "/files/" in path]  # the run cache's notes are sent each time
    assert len(objects) == len(set(objects)) == 9
    assert refused <= set(objects)


def test_a_wrong_secret_is_said_once_and_the_next_run_completes(
    project: Path, server: PrefectServer, endpoint: str
) -> None:
    name, message = run(project, server, endpoint, AWS_SECRET_ACCESS_KEY="wrong")
    assert name == "Failed"
    assert message.startswith("push: access denied. ERROR: "), message
    tasks = server.ask("task_runs/filter", flow_runs={"id": {"any_": [server.flow_runs()[0]["id"]]}})
    assert {task["name"]: task["run_count"] for task in tasks}["push"] == 1
    assert git(project, "branch", "--list", "runs") == ""
    assert run(project, server, endpoint) == ("Completed", "Up to date: 3 steps done, 3 skipped.")


def test_a_server_that_goes_away_in_the_middle_of_a_push(project: Path, server: PrefectServer, endpoint: str) -> None:
    gone: list[str] = []

    def refuse(path: str) -> bool:
        """Everything after the second object, for good."""
        gone.append(path)
        return len(gone) > 2

    with FlakyProxy(endpoint, refuse) as proxy:
        name, message = run(project, server, proxy.address)
    assert name == "Failed"
    assert message.startswith("push: network or storage out of reach. "), message
    assert 0 < len(proxy.uploaded) <= 2
    assert run(project, server, endpoint) == ("Completed", "Up to date: 3 steps done, 3 skipped.")


# In place of ssh: the first fetch and the first push find no server, later ones a repository on this machine.
SSH = """#!/bin/sh
asked="$0.${2%% *}"
[ -e "$asked" ] || { touch "$asked"; echo "ssh: connect to host team port 22: Connection refused" >&2; exit 255; }
exec sh -c "$2"
"""


def test_a_clone_has_what_a_run_made_without_making_it_again(
    project: Path, server: PrefectServer, endpoint: str, tmp_path: Path
) -> None:
    """What `docs/operations.md` tells a new worker to do; the clone knows one commit, as Prefect makes it."""
    shared = tmp_path / "shared.git"
    git(project, "add", ".dvc/config")
    git(project, "commit", "--quiet", "--message", "a remote")
    git(tmp_path, "clone", "--quiet", "--bare", str(project), str(shared))
    git(project, "remote", "add", "origin", f"ssh://team{shared}")
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    ssh = {"GIT_SSH": str(tmp_path / "ssh"), "GIT_SSH_VARIANT": "simple"}
    assert run(project, server, endpoint, "origin", **ssh)[0] == "Completed"
    tasks = server.ask("task_runs/filter", flow_runs={"id": {"any_": [server.flow_runs()[0]["id"]]}})
    counts = {task["name"]: task["run_count"] for task in tasks}
    assert (counts["pull"], counts["push"], counts["record"]) == (2, 1, 2)
    assert git(shared, "rev-list", "--count", "--first-parent", "main..runs") == "1"

    git(tmp_path, "clone", "--quiet", "--depth", "1", "--branch", "main", f"file://{shared}", "clone")
    clone = tmp_path / "clone"
    assert run(clone, server, endpoint, "origin") == ("Completed", "Up to date: 4 steps done, 2 skipped.")
    assert git(shared, "rev-list", "--count", "--first-parent", "main..runs") == "2"
    assert git(shared, "rev-parse", "runs") == git(clone, "rev-parse", "runs")
    states = server.task_states(server.flow_runs()[0]["id"])
    assert (states["pull"], states["download@coco"], states["validate@coco"]) == ("Completed", "Skipped", "Skipped")
    assert (clone / "dvc.lock").read_text() == (project / "dvc.lock").read_text()
    assert json.loads(git(clone, "show", "runs:run.json"))["flow_run"] == server.flow_runs()[0]["id"]
