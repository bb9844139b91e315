"""Buckets of a real S3 server on loopback, which checks signatures."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline.core.errors import BoxlineError
from pipeline.download.manifest import Asset
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources.resolve import resolve_sources
from pipeline.download.sources.s3 import CREDENTIALS_ADVICE
from pipeline.download.sync import install, sync_files
from pipeline.download.transfer import download_file
from tests.support.servers import BadServer, MissingObject, seaweed

pytestmark = pytest.mark.slow

CONTENT = random.Random(2017).randbytes(300_000)
KEY = "mirror/sub/good.bin"
ASSET = Asset("sub/good.bin")
ADVICE = "Check the address under `source` in params.yaml."
QUICK = RetryPolicy(tries=2, first_pause_seconds=0.001)


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed(tmp_path_factory.mktemp("seaweed"), "data", "reader", "right") as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Boto3's bucket with one object; the environment says where it is and who asks."""
    settings = {"ENDPOINT_URL_S3": endpoint, "ACCESS_KEY_ID": "reader", "SECRET_ACCESS_KEY": "right"}
    for name, value in {**settings, "CONFIG_FILE": str(tmp_path / "none"), "EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    data = boto3.resource("s3").Bucket("data")
    data.put_object(Key=KEY, Body=CONTENT)
    return data


def failure(root: str, asset: Asset, folder: Path, patience: RetryPolicy = QUICK) -> str:
    with pytest.raises(BoxlineError) as raised:
        download_file(asset, root, folder, patience)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    return str(raised.value)


@pytest.mark.parametrize("root", ["s3://data/mirror", "S3://data//mirror/", "s3://data"])
def test_an_object_comes(bucket: Any, tmp_path: Path, root: str) -> None:
    asset = Asset(KEY) if root == "s3://data" else ASSET
    assert download_file(asset, root, tmp_path).read_bytes() == CONTENT


def test_what_is_wrong_is_said(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure("s3://data/mirror", Asset("none.bin"), tmp_path) == (
        f"s3://data/mirror/none.bin answered 404 NoSuchKey. {ADVICE}"
    )
    assert failure("s3://nowhere", ASSET, tmp_path) == f"s3://nowhere/sub/good.bin answered 404 NoSuchBucket. {ADVICE}"
    assert failure("s3:///mirror", ASSET, tmp_path) == f"s3:///mirror names no bucket. {ADVICE}"
    message = failure("s3://no_such bucket", ASSET, tmp_path)
    assert message.startswith(
        "s3://no_such bucket/sub/good.bin could not be read: Parameter validation failed: Invalid"
    )
    assert "\n" not in message
    for address in ("s3://key:secret@data/mirror", "s3://key:sec/ret@data/mirror"):
        assert failure(address, ASSET, tmp_path) == (
            f"An s3 address begins with the name of a bucket and nothing else. {CREDENTIALS_ADVICE}"
        )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f"s3://data/{KEY} answered 403 SignatureDoesNotMatch. {CREDENTIALS_ADVICE}"
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f"s3://data/{KEY} answered 403 InvalidAccessKeyId. {CREDENTIALS_ADVICE}"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f's3://data/{KEY} could not be read: Could not connect to the endpoint URL: "http://127.0.0.1:9/data/{KEY}" '
        "(2 tries). Check the network, then run it again."
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nonsense")
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f"S3 cannot be asked: Invalid endpoint: nonsense. {CREDENTIALS_ADVICE}"
    )
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f"s3://data/{KEY} could not be read: Unable to locate credentials. {CREDENTIALS_ADVICE}"
    )


def test_a_part_is_completed_and_an_unchanged_object_kept(
    bucket: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [origin] = resolve_sources("s3://data/mirror", [ASSET], QUICK)
    version = origin.look()
    assert version.size_bytes == len(CONTENT)
    state, out, report = tmp_path / "state", tmp_path / "out", tmp_path / "report.json"
    for path, content in {
        state / "files" / ASSET.path: CONTENT[:70_000],
        state / "records" / f"{ASSET.path}.json": json.dumps(
            {"origin": f"s3://data/{KEY}", "size_bytes": len(CONTENT), "validator": version.validator}
        ).encode(),
    }.items():
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    with caplog.at_level("INFO", logger="pipeline"):
        for _ in range(2):
            install(sync_files([ASSET], "s3://data/mirror", state, out, report, QUICK), state, out, report)
    assert (out / ASSET.path).read_bytes() == CONTENT
    assert caplog.messages == [
        f"s3://data/{KEY}: going on after 70000 bytes",
        f"s3://data/{KEY} has not changed: kept",
    ]
    bucket.put_object(Key=KEY, Body=CONTENT[::-1])
    install(sync_files([ASSET], "s3://data/mirror", state, out, report, QUICK), state, out, report)
    assert (out / ASSET.path).read_bytes() == CONTENT[::-1]


CUT = MissingObject(cut=70_000)
FROM_CUT = "bytes=70000-"


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        ([CUT], [None, FROM_CUT]),
        ([CUT, MissingObject(shift=5)], [None, FROM_CUT, None]),
        ([CUT, MissingObject(status=412, body=b"")], [None, FROM_CUT, None]),
        ([CUT, MissingObject(status=416, body=b"")], [None, FROM_CUT, None]),
        ([CUT, MissingObject(ignores_range=True)], [None, FROM_CUT]),
        ([MissingObject(status=503, body=b"", headers={"Retry-After": "0"})], [None, None]),
        ([MissingObject(status=429, body=b"")], [None, None]),
        ([MissingObject(stall=70_000)], [None, "bytes=65536-"]),  # whole chunks
        ([MissingObject(cut=0)], [None, None]),
        ([MissingObject(headers={"Content-Length": None})], [None]),
    ],
)
def test_a_bad_server_is_asked_for_the_rest(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list[MissingObject], ranges: list[str | None]
) -> None:
    """What a server of our own can do to S3's client, and a real one does not."""
    server = BadServer({f"data/{KEY}": CONTENT}, *faults)
    with server.running() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        path = download_file(
            ASSET, "s3://data/mirror", tmp_path, RetryPolicy(read_timeout_seconds=0.5, first_pause_seconds=0.001)
        )
    assert path.read_bytes() == CONTENT
    assert server.ranges == ranges


def test_a_web_page_is_no_object(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What consoles and portals answer to everything."""
    server = BadServer({f"data/{KEY}": b" <!DOCTYPE html><title>Console</title>" + bytes(99)})
    with server.running() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        assert failure("s3://data/mirror", ASSET, tmp_path) == f"s3://data/{KEY} is a web page, not a file. {ADVICE}"
