"""Runs whose remote fails: a real S3 server, in some tests behind a proxy that closes connections."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mini_project import git
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

# Python imports a sitecustomize module at every start. This one writes a line for each push of DVC.
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
def project(tmp_path: Path, new_mini_project: Path) -> Path:
    project = Path(shutil.copytree(new_mini_project, tmp_path / "project"))
    run_dvc(project, "remote", "add", "--default", "store", f"s3://store/{tmp_path.name}")
    return project


def run(
    project: Path, server: PrefectServer, endpoint: str, git_remote: str | None = None, **env: str
) -> tuple[str, str]:
    env = {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": endpoint, **env}
    return server.run_flow(project, env=env, git_remote=git_remote, **TARGETS)


def test_push_that_fails_twice_succeeds_at_the_third_attempt(
    project: Path, server: PrefectServer, endpoint: str, tmp_path: Path
) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(COUNT_PUSHES)
    pushes = tmp_path / "pushes"
    rejected: set[str] = set()

    def reject(path: str) -> bool:
        """Reject one object in the first two pushes."""
        if "/files/" in path and not rejected:
            rejected.add(path)
        return path in rejected and len(pushes.read_text().splitlines()) <= 2

    with FlakyProxy(endpoint, reject) as proxy:
        hook = {"PYTHONPATH": str(tmp_path / "hook"), "PUSHES": str(pushes)}
        assert run(project, server, proxy.address, **hook)[0] == "Completed"
    assert server.attempts(server.latest_run()["id"])["push"] == 3
    objects = [path for path in proxy.uploaded if "/files/" in path]  # the run cache's files are uploaded each time
    assert len(objects) == len(set(objects)) == 9
    assert rejected <= set(objects)


def test_next_run_completes_a_push_that_was_denied_and_one_that_was_interrupted(
    project: Path, server: PrefectServer, endpoint: str
) -> None:
    name, message = run(project, server, endpoint, AWS_SECRET_ACCESS_KEY="wrong")
    assert name == "Failed"
    assert message.startswith("push: access denied. ERROR: "), message
    assert server.attempts(server.latest_run()["id"])["push"] == 1
    assert git(project, "branch", "--list", "runs") == ""

    requests: list[str] = []

    def reject(path: str) -> bool:
        """Reject everything after the second request."""
        requests.append(path)
        return len(requests) > 2

    with FlakyProxy(endpoint, reject) as proxy:
        name, message = run(project, server, proxy.address)
    assert name == "Failed"
    assert message.startswith("push: network or storage unreachable. "), message
    assert 0 < len(proxy.uploaded) <= 2
    assert run(project, server, endpoint) == ("Completed", "Up to date: 3 tasks completed, 3 skipped.")


# Replaces ssh: the first fetch and the first push fail to connect, later ones reach a repository on this machine.
SSH = """#!/bin/sh
called="$0.${2%% *}"
[ -e "$called" ] || { touch "$called"; echo "ssh: connect to host team port 22: Connection refused" >&2; exit 255; }
exec sh -c "$2"
"""


def test_clone_gets_the_outputs_of_a_recorded_run_without_running_stages(
    project: Path, server: PrefectServer, endpoint: str, tmp_path: Path
) -> None:
    """The steps in docs/operations.md for a new worker, with a shallow clone as Prefect makes it."""
    shared = tmp_path / "shared.git"
    git(project, "add", ".dvc/config")
    git(project, "commit", "--quiet", "--message", "a remote")
    git(tmp_path, "clone", "--quiet", "--bare", str(project), str(shared))
    git(project, "remote", "add", "origin", f"ssh://team{shared}")
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    ssh = {"GIT_SSH": str(tmp_path / "ssh"), "GIT_SSH_VARIANT": "simple"}
    assert run(project, server, endpoint, "origin", **ssh)[0] == "Completed"
    attempts = server.attempts(server.latest_run()["id"])
    assert (attempts["pull"], attempts["push"], attempts["record"]) == (2, 1, 2)
    assert git(shared, "rev-list", "--count", "--first-parent", "main..runs") == "1"

    git(tmp_path, "clone", "--quiet", "--depth", "1", "--branch", "main", f"file://{shared}", "clone")
    clone = tmp_path / "clone"
    assert run(clone, server, endpoint, "origin") == ("Completed", "Up to date: 4 tasks completed, 2 skipped.")
    assert git(shared, "rev-list", "--count", "--first-parent", "main..runs") == "2"
    assert git(shared, "rev-parse", "runs") == git(clone, "rev-parse", "runs")
    states = server.task_states(server.latest_run()["id"])
    assert (states["pull"], states["download@coco"], states["validate@coco"]) == ("Completed", "Skipped", "Skipped")
    assert (clone / "dvc.lock").read_text() == (project / "dvc.lock").read_text()
    assert json.loads(git(clone, "show", "runs:run.json"))["flow_run"] == server.latest_run()["id"]
