"""The stage as a process of its own: killed, interrupted, and beside another one."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from pipeline.datasets.coco.source import ASSETS
from pipeline.download.retry import RetryPolicy
from tests.support.servers import BadServer, MissingObject, etag
from tests.support.tiny_project import PROJECT, tiny_params, write_params

pytestmark = pytest.mark.slow

PATHS = [asset.path for asset in ASSETS]
FILES = {
    path: random.Random(path).randbytes(size) for path, size in zip(PATHS, (300_000, 700_000, 2_000_000), strict=True)
}
WORDS = [sys.executable, "-m", "pipeline.stages.download", "coco", "--sample", "sample", "--out", "download"]
WORDS += ["--state", "state", "--report", "download.json"]


@pytest.fixture
def server() -> Iterator[tuple[BadServer, str]]:
    bad = BadServer(FILES)
    with bad.running() as address:
        yield bad, address


def started(folder: Path, address: str) -> "subprocess.Popen[str]":
    """The stage with that folder as its project."""
    folder.mkdir(exist_ok=True)
    params = tiny_params()
    params["datasets"]["coco"]["source"] = address
    write_params(folder, params)
    return subprocess.Popen(
        WORDS, cwd=folder, env={"PYTHONPATH": str(PROJECT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    """Exit code and lines. One that hangs on a silent server would take longer than the limit."""
    _, errors = process.communicate(timeout=RetryPolicy().read_timeout_seconds - 5)
    return process.returncode, errors.splitlines()


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def received_bytes(folder: Path) -> dict[str, int]:
    """What has come of each file."""
    paths = {path: folder / "state" / "files" / path for path in PATHS}
    return {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}


@pytest.mark.parametrize("seed", range(3))
def test_a_download_that_is_killed_again_and_again_asks_only_for_the_rest(
    tmp_path: Path, server: tuple[BadServer, str], seed: int
) -> None:
    """The server kills the process four times, each time after so many bytes, then lets it end."""
    bad, address = server
    choice = random.Random(seed)
    assert finish(started(tmp_path / "undisturbed", address))[0] == 0
    for kills in range(5):
        before = received_bytes(tmp_path / "project")
        bad.requests.clear()
        process = started(tmp_path / "project", address)
        if kills < 4:
            missing_bytes = sum(map(len, FILES.values())) - sum(before.values())
            bad.kill_after = (process.pid, choice.randrange(missing_bytes // 2))
        code, lines = finish(process)
        assert code == (-signal.SIGKILL if kills < 4 else 0)
        assert not [line for line in lines if "waiting" in line]
        rest = {path: f"bytes={size}-" if size else None for path, size in before.items() if size < len(FILES[path])}
        asked = {path: asked for method, path, asked in bad.requests if method == "GET"}
        assert asked.items() <= rest.items()
        if kills == 4:
            assert asked == rest
    assert digests(tmp_path / "project" / "download") == digests(tmp_path / "undisturbed" / "download")
    assert digests(tmp_path / "project" / "state") == {}
    reports = [tmp_path / name / "download.json" for name in ("project", "undisturbed")]
    assert reports[0].read_bytes() == reports[1].read_bytes()


def test_an_interrupt_does_not_wait_for_a_silent_server(tmp_path: Path, server: tuple[BadServer, str]) -> None:
    bad, address = server
    path = "zips/train2017.zip"
    part = tmp_path / "state" / "files" / path
    record = tmp_path / "state" / "records" / f"{path}.json"
    for folder in (part.parent, record.parent):
        folder.mkdir(parents=True)
    part.write_bytes(FILES[path][:70_000])
    origin = {"origin": f"{address}/{path}", "size_bytes": len(FILES[path]), "validator": etag(FILES[path])}
    record.write_text(json.dumps(origin))
    bad.good = MissingObject(stall=0)
    process = started(tmp_path, address)
    assert bad.stalling.wait(60)
    process.send_signal(signal.SIGINT)
    code, lines = finish(process)
    assert not bad.go_on.is_set()
    assert (code, lines[-1]) == (
        130,
        "Interrupted. No output is half-written; run the same command again to restart or resume.",
    )
    assert received_bytes(tmp_path) == {**dict.fromkeys(PATHS, 0), path: 70_000}
    assert not (tmp_path / "download").exists()
    bad.good = MissingObject()
    bad.requests.clear()
    assert finish(started(tmp_path, address))[0] == 0
    assert digests(tmp_path / "download") == {path: sha256(FILES[path]).hexdigest() for path in sorted(PATHS)}
    assert {asked for method, path, asked in bad.requests if method == "GET"} == {None, "bytes=70000-"}


def test_a_second_process_waits_and_finds_the_work_done(tmp_path: Path, server: tuple[BadServer, str]) -> None:
    bad, address = server
    bad.faults = [MissingObject(stall=100_000)]
    first = started(tmp_path, address)
    assert bad.stalling.wait(60)
    second = started(tmp_path, address)
    assert second.stderr is not None
    assert second.stderr.readline() == "waiting for another download of coco to end\n"
    bad.go_on.set()
    assert finish(first)[0] == 0
    code, lines = finish(second)
    assert code == 0
    assert sorted(lines) == [
        f"downloaded coco from {address}: 3.0 MB",
        *sorted(f"{address}/{path} has not changed: kept" for path in PATHS),
    ]
    assert len(bad.ranges) == 3
    assert json.loads((tmp_path / "download.json").read_text())["files"].keys() == FILES.keys()


def test_a_download_that_dies_at_any_change_of_the_disk_is_made_good_by_the_next(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.support.crash_points", str(tmp_path)]
    result = subprocess.run(words, cwd=PROJECT, check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) > 30


def test_only_a_bucket_waits_for_its_client() -> None:
    code = (
        "import pipeline.stages.download, sys; print([name for name in ('boto3', 'botocore') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert result.stdout == "[]\n"
