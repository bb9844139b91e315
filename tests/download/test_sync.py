"""Synchronization of a download folder from a server, from partial files and from the previous download."""

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import BoxlineError
from pipeline.download.manifest import Asset
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources.base import Source
from pipeline.download.sources.resolve import resolve_sources
from pipeline.download.sync import exclusive_lock, install, sync_files
from tests.support.servers import Fault, FaultyServer, etag

FILES = {
    "zips/val.zip": random.Random(1).randbytes(200_000),
    "zips/train.zip": random.Random(2).randbytes(400_000),
    "labels.csv": random.Random(3).randbytes(3_000),
}
ASSETS = [Asset(path) for path in FILES]
QUICK = RetryPolicy(max_attempts=2, initial_backoff_seconds=0.001, max_backoff_seconds=0.01)

Sync = Callable[..., None]


def located(root: str, assets: list[Asset], retry_policy: RetryPolicy = QUICK) -> list[tuple[Asset, Source]]:
    return list(zip(assets, resolve_sources(root, assets, retry_policy), strict=True))


@pytest.fixture
def sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sync:
    """Do what the stage does, with `out`, `partial` and `report.json` in the working folder."""
    monkeypatch.chdir(tmp_path)

    def run(root: str, assets: list[Asset] = ASSETS, retry_policy: RetryPolicy = QUICK) -> None:
        partial_dir, out, report = Path("partial"), Path("out"), Path("report.json")
        with exclusive_lock(partial_dir, "download"):
            downloaded = sync_files(located(root, assets, retry_policy), partial_dir, out, report, retry_policy)
            install(downloaded, partial_dir, out, report)

    return run


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def inode(name: str) -> int:
    """Return the inode: paths with the same one are hard links to the same bytes."""
    return Path(name).stat().st_ino


def report_files() -> dict[str, Any]:
    files: dict[str, Any] = json.loads(Path("report.json").read_text())["files"]
    return files


def failure(sync: Sync, root: str, **options: Any) -> str:
    with pytest.raises(BoxlineError) as raised:
        sync(root, **options)
    return str(raised.value)


def test_all_files_are_downloaded_and_reported(sync: Sync) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        host = address.removeprefix("http://")
        sync(f"http://me:secret@{host}?token=abc")
    assert content_of(Path("out")) == FILES
    assert content_of(Path("partial")) == {}
    assert sorted(server.requests) == sorted((method, path, None) for path in FILES for method in ("HEAD", "GET"))
    assert report_files() == {
        path: {
            "origin": f"{address}/{path}",
            "size_bytes": len(content),
            "md5": md5(content).hexdigest(),
            "sha256": sha256(content).hexdigest(),
            "validator": etag(content),
        }
        for path, content in FILES.items()
    }
    assert list(report_files()) == list(FILES)


def test_file_unchanged_at_source_is_reused(sync: Sync, caplog: pytest.LogCaptureFixture) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        sync(address)
        inodes = {path: inode(f"out/{path}") for path in FILES}
        report = Path("report.json").read_bytes()
        server.requests.clear()
        server.files["labels.csv"] = b"new"
        with caplog.at_level("INFO"):
            sync(address)
        assert sorted(server.requests) == [
            ("GET", "labels.csv", None),
            *(("HEAD", path, None) for path in sorted(FILES)),
        ]
        assert sorted(caplog.messages) == [
            f"{address}/zips/{name}.zip is unchanged: keeping the previous download" for name in ("train", "val")
        ]
        assert content_of(Path("out")) == {**FILES, "labels.csv": b"new"}
        kept = {path for path in FILES if inode(f"out/{path}") == inodes[path]}
        assert kept == {"zips/val.zip", "zips/train.zip"}
        server.files["labels.csv"] = FILES["labels.csv"]
        sync(address)
        assert Path("report.json").read_bytes() == report


def corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda: corrupt(Path("out/zips/val.zip")), id="other bytes"),
        pytest.param(lambda: Path("out/zips/val.zip").write_bytes(b"short"), id="too short"),
        pytest.param(lambda: Path("out/zips/val.zip").unlink(), id="missing"),
        pytest.param(lambda: shutil.rmtree("out"), id="missing folder"),
        pytest.param(lambda: Path("report.json").write_text("{}"), id="no files in the report"),
        pytest.param(lambda: Path("report.json").write_text('{"files": {"zips/val.zip": 7}}'), id="invalid report"),
        pytest.param(lambda: Path("report.json").write_text("half of"), id="corrupt report"),
    ],
)
def test_file_that_differs_from_report_is_downloaded_again(sync: Sync, harm: Callable[[], None]) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        sync(address)
        harm()
        server.requests.clear()
        sync(address)
    assert content_of(Path("out")) == FILES
    assert ("GET", "zips/val.zip", None) in server.requests


def test_same_file_of_another_origin_is_downloaded_again(sync: Sync) -> None:
    one, other = FaultyServer(FILES), FaultyServer(FILES)
    with one.running() as first, other.running() as second:
        sync(first)
        sync(second)
    assert other.ranges == [None] * 3


def test_file_without_validator_is_downloaded_again(sync: Sync) -> None:
    server = FaultyServer(FILES)
    server.default_fault = server.head_fault = Fault(headers={"ETag": None})
    with server.running() as address:
        sync(address)
        sync(address)
    assert server.ranges == [None] * 6


def test_last_modified_replaces_weak_etag_as_validator(sync: Sync) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server = FaultyServer(FILES)
    server.default_fault = server.head_fault = Fault(headers={"ETag": 'W/"weak"', "Last-Modified": date})
    with server.running() as address:
        sync(address)
        sync(address)
    assert server.ranges == [None] * 3
    assert {file["validator"] for file in report_files().values()} == {date}


@pytest.mark.parametrize("status", [403, 405, 501])
def test_server_that_rejects_head_is_checked_with_get(sync: Sync, status: int) -> None:
    server = FaultyServer(FILES)
    server.head_fault = Fault(status=status)
    with server.running() as address:
        sync(address)
        sync(address)
    assert content_of(Path("out")) == FILES
    assert server.ranges == [None] * 9  # three files: stat, download, stat


def test_failed_download_keeps_previous_files_and_received_bytes(sync: Sync) -> None:
    server = FaultyServer(FILES)
    new_files = {path: content[::-1] for path, content in FILES.items()}
    with server.running() as address:
        sync(address)
        report = Path("report.json").read_bytes()
        server.files = {path: new_files[path] for path in ("zips/val.zip", "labels.csv")}
        missing = "zips/train.zip returned 404 Not Found. Check the address in `source` of params.yaml."
        assert failure(sync, address) == f"{address}/{missing}"
        assert content_of(Path("out")) == FILES
        server.files, server.default_fault = new_files, Fault(cut=150_000)
        interrupted = (
            "was interrupted after 300000 of 400000 bytes (2 attempts). Check the network, then run the command again."
        )
        assert failure(sync, address, assets=ASSETS[1:2]) == f"{address}/zips/train.zip {interrupted}"
        assert content_of(Path("out")) == FILES
        assert Path("report.json").read_bytes() == report
        assert content_of(Path("partial/files")) == {"zips/train.zip": new_files["zips/train.zip"][:300_000]}
        server.default_fault = Fault()
        server.requests.clear()
        sync(address)
    assert content_of(Path("out")) == new_files
    assert sorted(
        (path, requested) for method, path, requested in server.requests if method == "GET" and requested
    ) == [("zips/train.zip", "bytes=300000-")]


def test_partial_file_of_replaced_version_is_deleted(sync: Sync) -> None:
    server = FaultyServer(FILES)
    server.default_fault = Fault(cut=50_000)
    with server.running() as address:
        failure(sync, address, assets=ASSETS[:1])
        assert Path("partial/files/zips/val.zip").stat().st_size == 100_000
        server.files["zips/val.zip"] = b"new" * 50_000
        server.default_fault = Fault()
        server.requests.clear()
        sync(address, assets=ASSETS[:1])
    assert content_of(Path("out")) == {"zips/val.zip": b"new" * 50_000}
    assert server.ranges == [None]


def download_half_of_val(server: FaultyServer, address: str, sync: Sync) -> None:
    """Run until the first 100,000 bytes of zips/val.zip are in the partial folder."""
    server.default_fault = Fault(cut=50_000)
    failure(sync, address, assets=ASSETS[:1])
    assert content_of(Path("partial/files")) == {"zips/val.zip": FILES["zips/val.zip"][:100_000]}
    server.default_fault = Fault()
    server.requests.clear()


METADATA = Path("partial/metadata/zips/val.zip.json")
PARTIAL_FILE = Path("partial/files/zips/val.zip")


@pytest.mark.parametrize(
    ("harm", "requested"),
    [
        pytest.param(lambda: None, "bytes=100000-", id="none"),
        pytest.param(lambda: METADATA.unlink(), None, id="no metadata"),
        pytest.param(lambda: METADATA.write_text("{"), None, id="truncated metadata"),
        pytest.param(
            lambda: METADATA.write_text(METADATA.read_text().replace("http", "https")), None, id="another origin"
        ),
        pytest.param(
            lambda: METADATA.write_text(METADATA.read_text().replace("200000", "200001")), None, id="another size"
        ),
        pytest.param(lambda: PARTIAL_FILE.unlink(), None, id="no partial file"),
        pytest.param(lambda: PARTIAL_FILE.write_bytes(bytes(200_001)), None, id="partial file too long"),
    ],
)
def test_only_valid_partial_file_is_resumed(sync: Sync, harm: Callable[[], object], requested: str | None) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        download_half_of_val(server, address, sync)
        harm()
        sync(address, assets=ASSETS[:1])
    assert content_of(Path("out")) == {"zips/val.zip": FILES["zips/val.zip"]}
    assert server.ranges[-1] == requested


def test_corrupt_partial_file_is_found_by_checksum_and_downloaded_again(sync: Sync) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        download_half_of_val(server, address, sync)
        corrupt(PARTIAL_FILE)
        digest = f"sha256:{sha256(FILES['zips/val.zip']).hexdigest()}"
        sync(address, assets=[Asset("zips/val.zip", 200_000, digest)])
    assert content_of(Path("out")) == {"zips/val.zip": FILES["zips/val.zip"]}
    assert server.ranges == ["bytes=100000-", None]


def test_mismatching_file_is_not_kept(sync: Sync) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        assert failure(sync, address, assets=[Asset("labels.csv", None, "md5:0")]) == (
            f"{address}/labels.csv has md5 {md5(FILES['labels.csv']).hexdigest()}, expected 0. "
            "The publisher changed the file, or the download is corrupt: run the command again, or set `source` to a "
            "mirror."
        )
    assert content_of(Path("partial")) == {}


def test_files_complete_before_install_are_not_downloaded_again(sync: Sync) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        sync_files(located(address, ASSETS), Path("partial"), Path("out"), Path("report.json"))
        server.requests.clear()
        sync(address)
    assert content_of(Path("out")) == FILES
    assert server.ranges == []


def test_previous_files_are_never_overwritten_in_place(sync: Sync) -> None:
    """A hard link to a previous file, such as one in DVC's cache, keeps its content whatever is downloaded later."""
    server = FaultyServer(FILES)
    with server.running() as address:
        sync(address)
        os.link("out/zips/val.zip", "cached")
        sync_files(
            located(address, ASSETS), Path("partial"), Path("out"), Path("report.json")
        )  # as if killed before `install`
        assert inode("partial/files/zips/val.zip") == inode("cached")
        server.files["zips/val.zip"] += b"more"
        sync(address)
    assert Path("out/zips/val.zip").read_bytes() == FILES["zips/val.zip"] + b"more"
    assert Path("cached").read_bytes() == FILES["zips/val.zip"]


def test_files_that_are_no_assets_are_deleted(sync: Sync) -> None:
    server = FaultyServer({**FILES, "zips": b"a file where a folder was"})
    with server.running() as address:
        sync(address)
        sync_files(located(address, ASSETS), Path("partial"), Path("out"), Path("report.json"))
        sync(address, assets=[Asset("labels.csv"), Asset("zips")])
    assert content_of(Path("out")) == {"labels.csv": FILES["labels.csv"], "zips": b"a file where a folder was"}
    assert list(report_files()) == ["labels.csv", "zips"]


def test_too_little_disk_space_is_an_error_before_the_download(sync: Sync) -> None:
    server = FaultyServer(FILES)
    server.head_fault = Fault(headers={"Content-Length": str(10**17)})
    with server.running() as address:
        message = failure(sync, address)
    assert re.sub(r"(?<=only )[0-9,]+", "N", message) == (
        "partial: 300,000,000,000,000,000 more bytes are needed, but only N bytes are free on the disk. "
        "Free disk space, then run the command again: bytes received so far are kept."
    )
    assert server.ranges == []


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 0, 10))


def test_disk_space_uses_size_of_publisher_if_server_reports_none(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch)
    server = FaultyServer(FILES)
    server.head_fault = Fault(headers={"Content-Length": None})
    with server.running() as address:
        message = failure(sync, address, assets=[Asset("labels.csv", size_bytes=3_000)])
    assert message.startswith("partial: 3,000 more bytes are needed, but only 10 bytes are free on the disk.")
    assert server.ranges == []


def test_unpacked_folder_needs_disk_space_for_its_members(
    sync: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror/train").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "mirror/train" / name).write_bytes(bytes(1_000))
    fill_disk(monkeypatch)
    message = failure(sync, str(tmp_path / "mirror"), assets=[Asset("snacks.zip", unpacked=("train/*.jpg",))])
    assert message.startswith("partial: 2,000 more bytes are needed, but only 10 bytes are free on the disk.")


def test_wrong_content_length_of_head_loses_no_bytes(sync: Sync) -> None:
    server = FaultyServer(FILES, Fault(cut=70_000), Fault(status=403))
    with server.running() as address:
        failure(sync, address, assets=ASSETS[:1])
        server.head_fault = Fault(headers={"Content-Length": "0"})
        sync(address, assets=ASSETS[:1])
    assert server.ranges == [None, "bytes=70000-", "bytes=70000-"]
    assert content_of(Path("out")) == {"zips/val.zip": FILES["zips/val.zip"]}


def test_write_error_of_copy_does_not_name_the_source(
    sync: Sync, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "mirror/zips").mkdir(parents=True)
    (tmp_path / "mirror/zips/val.zip").write_bytes(FILES["zips/val.zip"])
    most_file_bytes = request.getfixturevalue("most_file_bytes")  # the limit holds from here on
    assert failure(sync, str(tmp_path / "mirror"), assets=ASSETS[:1]) == (
        f"partial/files/zips/val.zip could not be written after {most_file_bytes} bytes: File too large. "
        "Free disk space or grant write access, then run the command again."
    )


def test_home_folder_of_unknown_user_is_an_error(sync: Sync) -> None:
    assert failure(sync, "~nobody_of_that_name/mirror") == (
        "~nobody_of_that_name/mirror starts with a user name that is unknown on this machine. "
        "Check the address in `source` of params.yaml."
    )


def test_reused_files_need_no_disk_space(sync: Sync) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        sync(address)
        server.head_fault = Fault(headers={"Content-Length": str(10**17)})
        sync(address)
    assert server.ranges == [None] * 3


def test_full_disk_keeps_received_bytes(sync: Sync, most_file_bytes: int) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        assert failure(sync, address, assets=ASSETS[:1]) == (
            f"partial/files/zips/val.zip could not be written after {most_file_bytes} bytes: File too large. "
            "Free disk space or grant write access, then run the command again."
        )
    assert content_of(Path("partial/files")) == {"zips/val.zip": FILES["zips/val.zip"][:most_file_bytes]}


def test_lock_file_of_killed_process_is_free(sync: Sync, caplog: pytest.LogCaptureFixture) -> None:
    Path("partial").mkdir()
    Path("partial/lock").touch()
    server = FaultyServer(FILES)
    with server.running() as address, caplog.at_level("INFO"):
        sync(address)
    assert caplog.messages == []


def test_folder_renamed_by_killed_process_is_restored(sync: Sync) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        sync(address)
        Path("out").rename(".out.previous")
        server.default_fault = Fault(status=404, body=b"")
        server.head_fault = Fault(status=404)
        failure(sync, address)
    assert content_of(Path("out")) == FILES


def test_unpacked_folder_is_packed_again_after_a_change(sync: Sync, tmp_path: Path) -> None:
    (tmp_path / "set" / "train").mkdir(parents=True)
    for name in ("labels.csv", "train/1.jpg", "train/2.jpg"):
        (tmp_path / "set" / name).write_text(name)
    assets = [Asset("set.zip", unpacked=("labels.csv", "train/*.jpg"))]
    sync("set", assets=assets)
    first, before = report_files(), inode("out/set.zip")
    assert first["set.zip"]["origin"] == "set"
    sync("set", assets=assets)
    assert (report_files(), inode("out/set.zip")) == (first, before)
    (tmp_path / "set" / "train" / "2.jpg").write_text("another")
    sync("set", assets=assets)
    assert report_files()["set.zip"]["validator"] != first["set.zip"]["validator"]
    assert report_files()["set.zip"]["sha256"] != first["set.zip"]["sha256"]


def test_local_file_is_copied_again_after_a_change(sync: Sync, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "labels.csv").write_bytes(b"one")
    sync("mirror", assets=ASSETS[2:])
    before = inode("out/labels.csv")
    sync("mirror", assets=ASSETS[2:])
    assert inode("out/labels.csv") == before
    os.utime(mirror / "labels.csv", ns=(1, 1))
    sync("mirror", assets=ASSETS[2:])
    assert inode("out/labels.csv") != before
    assert report_files()["labels.csv"]["validator"] == "3 bytes, mtime 1 ns"
    (mirror / "labels.csv").unlink()
    assert failure(sync, "mirror", assets=ASSETS[2:]) == (
        "mirror/labels.csv not found. A folder given as `source` in params.yaml must have the layout of the upstream."
    )
    assert content_of(Path("out")) == {"labels.csv": b"one"}
