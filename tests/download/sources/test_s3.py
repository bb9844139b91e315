"""Buckets of a real S3 server on loopback, which checks signatures."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline.archives.zip_archive import Archive
from pipeline.core.errors import BoxlineError
from pipeline.download.manifest import Asset
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources import packed_objects
from pipeline.download.sources.listing import list_source
from pipeline.download.sources.packed_objects import PackedObjects
from pipeline.download.sources.resolve import resolve_sources
from pipeline.download.sources.s3 import CREDENTIALS_ADVICE
from pipeline.download.sync import install, sync_files
from pipeline.download.transfer import download_file
from tests.download.sources.test_listing import Download, tarred, zipped
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
            downloaded = sync_files([(ASSET, source)], partial_dir, out, report, QUICK)
            install(downloaded, partial_dir, out, report)
    assert (out / ASSET.path).read_bytes() == CONTENT
    assert caplog.messages == [
        f"s3://data/{KEY}: resuming after 70000 bytes",
        f"s3://data/{KEY} is unchanged: keeping the previous download",
    ]
    bucket.put_object(Key=KEY, Body=CONTENT[::-1])
    downloaded = sync_files([(ASSET, source)], partial_dir, out, report, QUICK)
    install(downloaded, partial_dir, out, report)
    assert (out / ASSET.path).read_bytes() == CONTENT[::-1]


@pytest.fixture
def own_bucket(bucket: Any) -> Iterator[Any]:
    """The bucket without objects below `photos` before and after the test."""
    yield bucket
    bucket.objects.filter(Prefix="photos").delete()


def put(bucket: Any, objects: dict[str, bytes]) -> None:
    for key, content in objects.items():
        bucket.put_object(Key=key, Body=content)


OBJECTS = {
    "1.jpg": b"1",
    "deep/2.PNG": b"2",
    "labels/1.xml": b"<1>",
    "set.zip": zipped({"3.jpg": b"3"}),
    "more/set.tar.gz": tarred({"4.jpg": b"4"}),
    "train.record": b"record",
}
CONTENTS = {
    **{name: content for name, content in OBJECTS.items() if not name.endswith((".zip", ".gz"))},
    "3.jpg": b"3",
    "more/4.jpg": b"4",
}


def test_objects_below_a_prefix_are_a_source(own_bucket: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    others = {"a.mp4": b"", ".DS_Store": b"", "folder/": b""}
    put(own_bucket, {f"photos/{name}": content for name, content in {**OBJECTS, **others}.items()})
    put(own_bucket, {"photos2/5.jpg": b"5"})
    with caplog.at_level("INFO", logger="pipeline"):
        done = Download(tmp_path, "s3://data/photos").run()
    assert list(done.archives()) == ["annotations.zip", "images.zip", "more/set.zip", "set.zip", "train.record"]
    assert done.contents() == CONTENTS
    passed_over = "passed over 1 files that are no images, annotations or archives: 'a.mp4'"
    assert caplog.messages[0] == f"s3://data/photos: {passed_over}"
    assert not done.is_outdated()
    inodes = done.inodes()
    put(own_bucket, {"photos/labels/1.xml": b"<corrected>"})
    assert done.is_outdated()
    done.run()
    assert done.contents() == {**CONTENTS, "labels/1.xml": b"<corrected>"}
    assert done.inodes()["images.zip"] == inodes["images.zip"]
    put(own_bucket, {"photos/6.jpg": b"6"})
    assert done.is_outdated()


def test_keys_that_lead_out_of_the_folder_are_left_out(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Other servers than the one of these tests accept them."""
    keys = ["../../evil.zip", "/tmp/evil.zip", "a/./b.zip", "a//b.zip", "good.zip"]
    entries = "".join(f"<Contents><Key>photos/{key}</Key><Size>1</Size><ETag>1</ETag></Contents>" for key in keys)
    server = FaultyServer({"data": f"<ListBucketResult>{entries}</ListBucketResult>".encode()})
    with server.running() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        assert [asset.path for asset, _ in list_source("s3://data/photos", QUICK)] == ["good.zip"]
    assert caplog.messages == [
        f"s3://data/photos/{key} has a name that is no relative path. It is left out." for key in keys[:-1]
    ]


def test_all_pages_of_a_list_are_read(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has at most 1000 objects; here it has one, and the second page fails once."""
    pages = [
        f"<ListBucketResult><Contents><Key>photos/{key}</Key><Size>1</Size><ETag>1</ETag></Contents>{token}"
        "</ListBucketResult>"
        for key, token in (("1.zip", "<NextContinuationToken>next</NextContinuationToken>"), ("2.zip", ""))
    ]
    first, second = (Fault(body=page.encode()) for page in pages)
    server = FaultyServer({"data": b""}, first, Fault(status=503), second)
    with server.running() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        assert [asset.path for asset, _ in list_source("s3://data/photos", QUICK)] == ["1.zip", "2.zip"]
    assert ["continuation-token=next" in target for target in server.targets] == [False, True, True]


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz"])
def test_one_object_is_a_source(own_bucket: Any, tmp_path: Path, name: str) -> None:
    put(own_bucket, {f"photos/{name}": zipped(CONTENTS) if name == "set.zip" else tarred(CONTENTS)})
    done = Download(tmp_path, f"s3://data/photos/{name}").run()
    assert list(done.archives()) == ["set.zip"]
    assert done.contents() == CONTENTS
    assert not done.is_outdated()


def test_objects_of_an_interrupted_run_are_kept(
    own_bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_objects, "PARALLEL_DOWNLOADS", 1)
    put(own_bucket, {"photos/1.jpg": b"1", "photos/2.jpg": b"2"})
    [(_, source)] = list_source("s3://data/photos", QUICK)
    assert isinstance(source, PackedObjects)
    put(own_bucket, {"photos/2.jpg": b"longer"})  # after it was listed
    scratch = tmp_path / "scratch"
    with pytest.raises(BoxlineError, match=r"s3://data/photos/2.jpg has 6 bytes, expected 1"):
        source.write_zip(tmp_path / "images.zip", scratch, threading.Event())
    own_bucket.Object("photos/1.jpg").delete()
    put(own_bucket, {"photos/2.jpg": b"2"})
    source.write_zip(tmp_path / "images.zip", scratch, threading.Event())
    archive = Archive(tmp_path / "images.zip")
    assert {name: archive[name].read() for name in archive.names()} == {"1.jpg": b"1", "2.jpg": b"2"}
    assert not scratch.exists()


def test_wrong_prefix_names_the_nearest(own_bucket: Any) -> None:
    put(own_bucket, {"photos/day/1.jpg": b"1"})
    for address, hint in (
        ("s3://data/photo", "; did you mean s3://data/photos?"),
        ("s3://data/photos/days", "; did you mean s3://data/photos/day?"),
        ("s3://data/xyz", "."),
    ):
        with pytest.raises(BoxlineError) as raised:
            list_source(address, QUICK)
        assert str(raised.value) == f"{address} has no objects{hint} {ADVICE}"
    with pytest.raises(BoxlineError) as raised:
        list_source("s3://nowhere/photos", QUICK)
    assert str(raised.value) == f"s3://nowhere/photos returned 404 NoSuchBucket. {ADVICE}"


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
