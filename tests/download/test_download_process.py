"""The stage as a process: killed, interrupted, and concurrent with another one."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.datasets.coco.source import SOURCE
from pipeline.download.retry import RetryPolicy
from tests.support.servers import Fault, FaultyServer, etag
from tests.support.tiny_project import PROJECT, tiny_params, write_params

pytestmark = pytest.mark.slow

PATHS = [asset.path for asset in SOURCE.assets]
FILES = {
    path: random.Random(path).randbytes(size) for path, size in zip(PATHS, (300_000, 700_000, 2_000_000), strict=True)
}
COMMAND = [sys.executable, "-m", "pipeline.stages.download", "coco", "--sample", "sample", "--out", "download"]
COMMAND += ["--partial", "partial", "--report", "download.json"]


@pytest.fixture
def server() -> Iterator[tuple[FaultyServer, str]]:
    faulty_server = FaultyServer(FILES)
    with faulty_server.running() as address:
        yield faulty_server, address


def start_stage(folder: Path, address: str) -> "subprocess.Popen[str]":
    """Start the stage with that folder as its project."""
    folder.mkdir(exist_ok=True)
    params = tiny_params()
    params["datasets"]["coco"]["source"] = address
    write_params(folder, params)
    return subprocess.Popen(
        COMMAND, cwd=folder, env={"PYTHONPATH": str(PROJECT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    """Return exit code and log lines. A process that waits for a silent server would exceed the time limit."""
    _, errors = process.communicate(timeout=RetryPolicy().read_timeout_seconds - 5)
    return process.returncode, errors.splitlines()


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def received_bytes(folder: Path) -> dict[str, int]:
    """Return the size of each partial file."""
    paths = {path: folder / "partial" / "files" / path for path in PATHS}
    return {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}


@pytest.mark.parametrize("seed", range(3))
def test_repeatedly_killed_download_requests_only_missing_bytes(
    tmp_path: Path, server: tuple[FaultyServer, str], seed: int
) -> None:
    """The server kills the process four times after a random number of bytes, then lets it finish."""
    faulty_server, address = server
    generator = random.Random(seed)
    assert finish(start_stage(tmp_path / "undisturbed", address))[0] == 0
    for kills in range(5):
        before = received_bytes(tmp_path / "project")
        faulty_server.requests.clear()
        process = start_stage(tmp_path / "project", address)
        if kills < 4:
            missing_bytes = sum(map(len, FILES.values())) - sum(before.values())
            faulty_server.kill_after = (process.pid, generator.randrange(missing_bytes // 2))
        code, lines = finish(process)
        assert code == (-signal.SIGKILL if kills < 4 else 0)
        assert not [line for line in lines if "waiting" in line]
        missing_ranges = {
            path: f"bytes={size}-" if size else None for path, size in before.items() if size < len(FILES[path])
        }
        requested = {path: requested for method, path, requested in faulty_server.requests if method == "GET"}
        assert requested.items() <= missing_ranges.items()
        if kills == 4:
            assert requested == missing_ranges
    assert digests(tmp_path / "project" / "download") == digests(tmp_path / "undisturbed" / "download")
    assert digests(tmp_path / "project" / "partial") == {}
    reports = [tmp_path / name / "download.json" for name in ("project", "undisturbed")]
    assert reports[0].read_bytes() == reports[1].read_bytes()


def test_interrupt_does_not_wait_for_silent_server(tmp_path: Path, server: tuple[FaultyServer, str]) -> None:
    faulty_server, address = server
    path = "zips/train2017.zip"
    partial_file = tmp_path / "partial" / "files" / path
    metadata = tmp_path / "partial" / "metadata" / f"{path}.json"
    for folder in (partial_file.parent, metadata.parent):
        folder.mkdir(parents=True)
    partial_file.write_bytes(FILES[path][:70_000])
    origin = {"origin": f"{address}/{path}", "size_bytes": len(FILES[path]), "validator": etag(FILES[path])}
    metadata.write_text(json.dumps(origin))
    faulty_server.default_fault = Fault(stall=0)
    process = start_stage(tmp_path, address)
    assert faulty_server.is_stalled.wait(60)
    process.send_signal(signal.SIGINT)
    code, lines = finish(process)
    assert not faulty_server.resume.is_set()
    assert (code, lines[-1]) == (
        130,
        "Interrupted. No output is half-written; run the same command again to restart or resume.",
    )
    assert received_bytes(tmp_path) == {**dict.fromkeys(PATHS, 0), path: 70_000}
    assert not (tmp_path / "download").exists()
    faulty_server.default_fault = Fault()
    faulty_server.requests.clear()
    assert finish(start_stage(tmp_path, address))[0] == 0
    assert digests(tmp_path / "download") == {path: sha256(FILES[path]).hexdigest() for path in sorted(PATHS)}
    assert set(faulty_server.ranges) == {None, "bytes=70000-"}


def test_second_process_waits_and_reuses_the_download(tmp_path: Path, server: tuple[FaultyServer, str]) -> None:
    faulty_server, address = server
    faulty_server.faults = [Fault(stall=100_000)]
    first = start_stage(tmp_path, address)
    assert faulty_server.is_stalled.wait(60)
    second = start_stage(tmp_path, address)
    assert second.stderr is not None
    assert second.stderr.readline() == "waiting for another download of coco to finish\n"
    faulty_server.resume.set()
    assert finish(first)[0] == 0
    code, lines = finish(second)
    assert code == 0
    assert sorted(lines) == [
        f"downloaded coco from {address}: 3.0 MB",
        *sorted(f"{address}/{path} is unchanged: keeping the previous download" for path in PATHS),
    ]
    assert len(faulty_server.ranges) == 3
    assert json.loads((tmp_path / "download.json").read_text())["files"].keys() == FILES.keys()


def test_download_killed_at_any_disk_change_is_completed_by_the_next_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.crash_points", str(tmp_path)]
    result = subprocess.run(command, cwd=PROJECT, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) > 30


def test_boto3_is_imported_only_for_s3_sources() -> None:
    code = (
        "import pipeline.stages.download, sys; print([name for name in ('boto3', 'botocore') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert result.stdout == "[]\n"
