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
from tests.support.servers import Fault, FaultyServer, seaweed

pytestmark = pytest.mark.slow

CONTENT = random.Random(2017).randbytes(300_000)
KEY = "mirror/sub/good.bin"
ASSET = Asset("sub/good.bin")
ADVICE = "Check the address in `source` of params.yaml."
QUICK = RetryPolicy(max_attempts=2, initial_backoff_seconds=0.001)


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed(tmp_path_factory.mktemp("seaweed"), "data", "reader", "right") as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A boto3 bucket with one object; endpoint and credentials are in the environment."""
    settings = {"ENDPOINT_URL_S3": endpoint, "ACCESS_KEY_ID": "reader", "SECRET_ACCESS_KEY": "right"}
    for name, value in {**settings, "CONFIG_FILE": str(tmp_path / "none"), "EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    data = boto3.resource("s3").Bucket("data")
    data.put_object(Key=KEY, Body=CONTENT)
    return data


def failure(root: str, asset: Asset, folder: Path, retry_policy: RetryPolicy = QUICK) -> str:
    with pytest.raises(BoxlineError) as raised:
        download_file(asset, root, folder, retry_policy)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    return str(raised.value)


@pytest.mark.parametrize("root", ["s3://data/mirror", "S3://data//mirror/", "s3://data"])
def test_object_is_downloaded(bucket: Any, tmp_path: Path, root: str) -> None:
    asset = Asset(KEY) if root == "s3://data" else ASSET
    assert download_file(asset, root, tmp_path).read_bytes() == CONTENT


def test_error_messages_name_the_cause(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure("s3://data/mirror", Asset("none.bin"), tmp_path) == (
        f"s3://data/mirror/none.bin returned 404 NoSuchKey. {ADVICE}"
    )
    assert failure("s3://nowhere", ASSET, tmp_path) == f"s3://nowhere/sub/good.bin returned 404 NoSuchBucket. {ADVICE}"
    assert failure("s3:///mirror", ASSET, tmp_path) == f"s3:///mirror has no bucket name. {ADVICE}"
    message = failure("s3://no_such bucket", ASSET, tmp_path)
    assert message.startswith(
        "s3://no_such bucket/sub/good.bin could not be read: Parameter validation failed: Invalid"
    )
    assert "\n" not in message
    for address in ("s3://key:secret@data/mirror", "s3://key:sec/ret@data/mirror"):
        assert failure(address, ASSET, tmp_path) == (
            f"An s3:// URL starts with the name of a bucket and nothing else. {CREDENTIALS_ADVICE}"
        )
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f"s3://data/{KEY} returned 403 SignatureDoesNotMatch. {CREDENTIALS_ADVICE}"
    )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f"s3://data/{KEY} returned 403 InvalidAccessKeyId. {CREDENTIALS_ADVICE}"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f's3://data/{KEY} could not be read: Could not connect to the endpoint URL: "http://127.0.0.1:9/data/{KEY}" '
        "(2 attempts). Check the network, then run the command again."
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "nonsense")
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f"The S3 client could not be created: Invalid endpoint: nonsense. {CREDENTIALS_ADVICE}"
    )
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert failure("s3://data/mirror", ASSET, tmp_path) == (
        f"s3://data/{KEY} could not be read: Unable to locate credentials. {CREDENTIALS_ADVICE}"
    )


def test_partial_file_is_resumed_and_unchanged_object_reused(
    bucket: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [source] = resolve_sources("s3://data/mirror", [ASSET], QUICK)
    version = source.stat()
    assert version.size_bytes == len(CONTENT)
    partial_dir, out, report = tmp_path / "partial", tmp_path / "out", tmp_path / "report.json"
    for path, content in {
        partial_dir / "files" / ASSET.path: CONTENT[:70_000],
        partial_dir / "metadata" / f"{ASSET.path}.json": json.dumps(
            {"origin": f"s3://data/{KEY}", "size_bytes": len(CONTENT), "validator": version.validator}
        ).encode(),
    }.items():
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    with caplog.at_level("INFO", logger="pipeline"):
        for _ in range(2):
            downloaded = sync_files([ASSET], "s3://data/mirror", partial_dir, out, report, QUICK)
            install(downloaded, partial_dir, out, report)
    assert (out / ASSET.path).read_bytes() == CONTENT
    assert caplog.messages == [
        f"s3://data/{KEY}: resuming after 70000 bytes",
        f"s3://data/{KEY} is unchanged: keeping the previous download",
    ]
    bucket.put_object(Key=KEY, Body=CONTENT[::-1])
    downloaded = sync_files([ASSET], "s3://data/mirror", partial_dir, out, report, QUICK)
    install(downloaded, partial_dir, out, report)
    assert (out / ASSET.path).read_bytes() == CONTENT[::-1]


CUT = Fault(cut=70_000)
FROM_CUT = "bytes=70000-"


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        ([CUT], [None, FROM_CUT]),
        ([CUT, Fault(shift=5)], [None, FROM_CUT, None]),
        ([CUT, Fault(status=412, body=b"")], [None, FROM_CUT, None]),
        ([CUT, Fault(status=416, body=b"")], [None, FROM_CUT, None]),
        ([CUT, Fault(ignores_range=True)], [None, FROM_CUT]),
        ([Fault(status=503, body=b"", headers={"Retry-After": "0"})], [None, None]),
        ([Fault(status=429, body=b"")], [None, None]),
        ([Fault(stall=70_000)], [None, "bytes=65536-"]),  # only complete chunks are kept
        ([Fault(cut=0)], [None, None]),
        ([Fault(headers={"Content-Length": None})], [None]),
    ],
)
def test_missing_bytes_are_requested_after_faults(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list[Fault], ranges: list[str | None]
) -> None:
    """Faults that the test server can inject, unlike a real S3 server."""
    server = FaultyServer({f"data/{KEY}": CONTENT}, *faults)
    with server.running() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        path = download_file(
            ASSET, "s3://data/mirror", tmp_path, RetryPolicy(read_timeout_seconds=0.5, initial_backoff_seconds=0.001)
        )
    assert path.read_bytes() == CONTENT
    assert server.ranges == ranges


def test_web_page_in_place_of_object_is_an_error(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Web consoles and captive portals return HTML for any request."""
    server = FaultyServer({f"data/{KEY}": b" <!DOCTYPE html><title>Console</title>" + bytes(99)})
    with server.running() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        assert failure("s3://data/mirror", ASSET, tmp_path) == f"s3://data/{KEY} is a web page, not a file. {ADVICE}"
