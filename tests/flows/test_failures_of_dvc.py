"""Classification of failures of the real DVC, with stages and remotes that fail as they do in production."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.failures import Failure, FailureKind, classify_failure
from tests.support.flow_projects import DVC, make_project, run_in
from tests.support.tiny_project import PROJECT, tiny_params, write_params

pytestmark = pytest.mark.slow

STAGE = """
import sys
from pathlib import Path
from pipeline.core import errors
from pipeline.stages.runner import run_stage

def stage(kind):
    {
        "user": lambda: raising(errors.BoxlineError("a.csv, line 3: no.")),
        "network": lambda: raising(errors.NetworkError("http://host sent 503 (6 attempts). Run it again later.")),
        "memory": lambda: bytearray(1 << 60),
        "disk": lambda: Path("/dev/full").write_text("x"),
        "bug": lambda: 1 / 0,
    }[kind]()

def raising(error):
    raise error

run_stage(stage)
"""

DVC_YAML = f"""
stages:
  ours:
    foreach: [user, network, memory, disk, bug]
    do: {{cmd: "{sys.executable} stage.py ${{item}}"}}
  killed: {{cmd: "kill -9 $$"}}
  killed_below_a_shell: {{cmd: "sh -c 'kill -9 $$'; exit $?"}}
  terminated: {{cmd: "kill $$"}}
  unknown_command: {{cmd: does-not-exist}}
  no_output: {{cmd: echo it timed out, outs: [never.txt]}}
  no_dependency: {{cmd: cat missing.txt, deps: [missing.txt]}}
  slow: {{cmd: "echo > started; read line < resume; echo > slow.txt", outs: [slow.txt]}}
  after: {{cmd: "cat slow.txt", deps: [slow.txt]}}
  good: {{cmd: "echo good > good.txt", outs: [good.txt]}}
"""

REMOTES = """
[core]
    no_scm = True
['remote "below_a_file"']
    url = ../file/below
['remote "nowhere"']
    url = /proc/nowhere
['remote "elsewhere"']
    url = ../elsewhere
['remote "s3"']
    url = s3://bucket/x
    endpointurl = http://127.0.0.1:9
['remote "s3_of_nobody"']
    url = s3://bucket/x
    profile = nobody
['remote "ssh"']
    url = ssh://root@127.0.0.1:9/srv
['remote "http"']
    url = http://127.0.0.1:9/srv
"""

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_MAX_ATTEMPTS": "1"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("project"), DVC_YAML)
    (folder / "stage.py").write_text(STAGE)
    (folder / ".dvc" / "config").write_text(REMOTES)
    (folder.parent / "file").write_text("")
    assert run_in(folder, DVC, "repro", "--single-item", "good").return_code == 0
    return folder


def failure_in(folder: Path, *argv: str | Path, **env: str) -> Failure | None:
    keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    return classify_failure(run_in(folder, *argv, **{"PYTHONPATH": str(PROJECT), **keys, **env}))


@pytest.mark.parametrize(
    ("stage", "failure"),
    [
        ("ours@user", Failure(FailureKind.INPUT, "Error: a.csv, line 3: no.")),
        (
            "ours@network",
            Failure(FailureKind.NETWORK, "Error: http://host sent 503 (6 attempts). Run it again later."),
        ),
        (
            "ours@memory",
            Failure(
                FailureKind.OUT_OF_MEMORY,
                "Error: out of memory. Reduce batch_size, image_size or shard_images in params.yaml.",
            ),
        ),
        (
            "ours@disk",
            Failure(
                FailureKind.DISK_FULL,
                "Error: disk: No space left on device. Free space, grant access or repair the disk, then run it again.",
            ),
        ),
        ("ours@bug", Failure(FailureKind.BUG, "ZeroDivisionError: division by zero")),
        (
            "killed",
            Failure(
                FailureKind.KILLED, "ERROR: failed to reproduce 'killed': failed to run: kill -9 $$, exited with -9"
            ),
        ),
        (
            "killed_below_a_shell",
            Failure(
                FailureKind.KILLED,
                "ERROR: failed to reproduce 'killed_below_a_shell': failed to run: "
                "sh -c 'kill -9 $$'; exit $?, exited with 137",
            ),
        ),
        (
            "terminated",
            Failure(
                FailureKind.KILLED, "ERROR: failed to reproduce 'terminated': failed to run: kill $$, exited with -15"
            ),
        ),
        (
            "unknown_command",
            Failure(
                FailureKind.BUG,
                "ERROR: failed to reproduce 'unknown_command': failed to run: does-not-exist, exited with 127",
            ),
        ),
        (
            "no_output",
            Failure(FailureKind.BUG, "ERROR: failed to reproduce 'no_output': output 'never.txt' does not exist"),
        ),
        (
            "no_dependency",
            Failure(
                FailureKind.INPUT, "ERROR: failed to reproduce 'no_dependency': dependency 'missing.txt' does not exist"
            ),
        ),
        ("no_stage", Failure(FailureKind.INPUT, "ERROR: Stage 'no_stage' not found inside 'dvc.yaml' file")),
        ("good", None),
    ],
)
def test_failed_stage_is_classified(project: Path, stage: str, failure: Failure | None) -> None:
    assert failure_in(project, DVC, "repro", "--single-item", stage) == failure


def test_failed_stage_and_command_of_the_project_are_classified(tmp_path: Path) -> None:
    write_params(tmp_path, tiny_params())
    message = "Error: params.yaml: datasets has no entry 'flickr'; known are digits, coco, rectangles, snacks."
    argv = [sys.executable, "-m", "pipeline.stages.tables", "flickr", "--download", "in", "--out", "out"]
    assert failure_in(tmp_path, *argv) == Failure(FailureKind.INPUT, message)
    (tmp_path / "params.yaml").write_text("datasets: 403\n")
    message = "Error: params.yaml: the file: the key 'seed' is missing."
    assert failure_in(tmp_path, DVC.with_name("boxline"), "params") == Failure(FailureKind.INPUT, message)


@pytest.mark.parametrize(
    ("remote", "kind", "reason"),
    [
        (
            "unknown",
            FailureKind.INPUT,
            "ERROR: failed to push data to the cloud - config file error: remote 'unknown' doesn't exist",
        ),
        ("nowhere", FailureKind.BUG, "ERROR: unexpected error - [Errno 2] No such file or directory: '/proc/nowhere'"),
        (
            "s3_of_nobody",
            FailureKind.DENIED,
            "ERROR: unexpected error - The config profile (nobody) could not be found",
        ),
        ("s3", FailureKind.DENIED, "ERROR: unexpected error - Unable to locate credentials"),
        ("ssh", FailureKind.NETWORK, "ERROR: unexpected error - [Errno 111] Connect call failed ('127.0.0.1', 9)"),
    ],
)
def test_failed_push_is_classified(project: Path, remote: str, kind: FailureKind, reason: str) -> None:
    assert failure_in(project, DVC, "push", "--remote", remote, "good") == Failure(kind, reason)


@pytest.mark.parametrize("remote", ["http", "s3"])
def test_push_to_an_unreachable_server_is_a_network_failure(project: Path, remote: str) -> None:
    failure = failure_in(project, DVC, "push", "--remote", remote, "good", **KEYS)
    assert failure is not None
    assert failure.kind is FailureKind.NETWORK
    assert "127.0.0.1:9" in failure.reason.replace("', ", ":")


def test_push_without_a_remote_is_an_input_failure(project: Path) -> None:
    failure = failure_in(project, DVC, "push")
    assert failure is not None
    assert failure.kind is FailureKind.INPUT
    assert failure.reason.startswith(
        "ERROR: failed to push data to the cloud - config file error: no remote specified in"
    )


@pytest.fixture
def without_data(tmp_path: Path) -> Path:
    """A project whose output was built and then lost, in the workspace and in the cache."""
    make_project(tmp_path, DVC_YAML)
    (tmp_path / ".dvc" / "config").write_text(REMOTES)
    assert run_in(tmp_path, DVC, "repro", "--single-item", "good").return_code == 0
    (tmp_path / "good.txt").unlink()
    shutil.rmtree(tmp_path / ".dvc" / "cache")
    return tmp_path


def test_pull_of_missing_data_is_an_input_failure(without_data: Path) -> None:
    assert failure_in(without_data, DVC, "pull", "--remote", "elsewhere", "good") == Failure(
        FailureKind.INPUT, "ERROR: failed to pull data from the cloud - Checkout failed for following targets:"
    )


def test_pull_from_an_unreachable_server_is_a_network_failure(without_data: Path) -> None:
    failure = failure_in(without_data, DVC, "pull", "--remote", "s3", "good", **KEYS)
    assert failure == Failure(
        FailureKind.NETWORK,
        "ERROR: failed to connect to s3 (bucket/x/files/md5) - "
        'Could not connect to the endpoint URL: "http://127.0.0.1:9/bucket/x/files/md5"',
    )


def test_push_to_a_full_disk_is_classified(project: Path) -> None:
    (project / "large.txt").write_bytes(bytes(2_000_000))
    assert run_in(project, DVC, "add", "large.txt").return_code == 0
    limited = ["sh", "-c", f"ulimit -f 1000; exec {DVC} push --remote elsewhere large.txt"]
    failure = failure_in(project, *limited)
    assert failure is not None
    assert failure.kind is FailureKind.DISK_FULL
    assert "[Errno 27] File too large" in failure.reason


def test_repository_locked_by_another_dvc_is_classified(project: Path) -> None:
    with (project / ".dvc" / "tmp" / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        failure = failure_in(project, DVC, "repro", "--single-item", "good")
    assert failure is not None
    assert failure.kind is FailureKind.LOCKED
    assert failure.reason.startswith("ERROR: Unable to acquire lock. Most likely another DVC process is running")


@pytest.fixture
def busy(project: Path) -> Iterator[Path]:
    """The project while another DVC process runs the stage slow."""
    for name in ("started", "resume"):
        os.mkfifo(project / name)
    argv = [DVC, "repro", "--single-item", "slow"]
    with ThreadPoolExecutor() as threads:
        other = threads.submit(run_in, project, *argv)
        (project / "started").read_text()
        try:
            yield project
        finally:
            (project / "resume").write_text("\n")
        assert other.result().return_code == 0


def test_outputs_locked_by_another_dvc_are_classified(busy: Path) -> None:
    failure = failure_in(busy, DVC, "repro", "--single-item", "after")
    path = busy / "slow.txt"
    assert failure == Failure(
        FailureKind.LOCKED, f"ERROR: failed to reproduce 'after': '{path}' is busy, it is being blocked by:"
    )
