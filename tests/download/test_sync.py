"""A folder of downloads that is renewed from a server, from its state and from the former one."""

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
from pipeline.download.sync import exclusive_lock, install, sync_files
from tests.support.servers import BadServer, MissingObject, etag

FILES = {
    "zips/val.zip": random.Random(1).randbytes(200_000),
    "zips/train.zip": random.Random(2).randbytes(400_000),
    "labels.csv": random.Random(3).randbytes(3_000),
}
ASSETS = [Asset(path) for path in FILES]
QUICK = RetryPolicy(tries=2, first_pause_seconds=0.001, longest_pause_seconds=0.01)

Renew = Callable[..., None]


@pytest.fixture
def renew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Renew:
    """What the stage does, with `out`, `state` and `report.json` in the working folder."""
    monkeypatch.chdir(tmp_path)

    def run(root: str, assets: list[Asset] = ASSETS, patience: RetryPolicy = QUICK) -> None:
        state, out, report = Path("state"), Path("out"), Path("report.json")
        with exclusive_lock(state, "download"):
            install(sync_files(assets, root, state, out, report, patience), state, out, report)

    return run


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def inode(name: str) -> int:
    """Two names with the same number are names of the same bytes."""
    return Path(name).stat().st_ino


def reported() -> dict[str, Any]:
    files: dict[str, Any] = json.loads(Path("report.json").read_text())["files"]
    return files


def failure(renew: Renew, root: str, **options: Any) -> str:
    with pytest.raises(BoxlineError) as raised:
        renew(root, **options)
    return str(raised.value)


def test_all_files_come_and_are_reported(renew: Renew) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        host = address.removeprefix("http://")
        renew(f"http://me:secret@{host}?token=abc")
    assert content_of(Path("out")) == FILES
    assert content_of(Path("state")) == {}
    assert sorted(server.requests) == sorted((method, path, None) for path in FILES for method in ("HEAD", "GET"))
    assert reported() == {
        path: {
            "origin": f"{address}/{path}",
            "size_bytes": len(content),
            "md5": md5(content).hexdigest(),
            "sha256": sha256(content).hexdigest(),
            "validator": etag(content),
        }
        for path, content in FILES.items()
    }
    assert list(reported()) == list(FILES)


def test_what_has_not_changed_at_its_origin_is_kept(renew: Renew, caplog: pytest.LogCaptureFixture) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        renew(address)
        inodes = {path: inode(f"out/{path}") for path in FILES}
        report = Path("report.json").read_bytes()
        server.requests.clear()
        server.files["labels.csv"] = b"new"
        with caplog.at_level("INFO"):
            renew(address)
        assert sorted(server.requests) == [
            ("GET", "labels.csv", None),
            *(("HEAD", path, None) for path in sorted(FILES)),
        ]
        assert sorted(caplog.messages) == [
            f"{address}/zips/{name}.zip has not changed: kept" for name in ("train", "val")
        ]
        assert content_of(Path("out")) == {**FILES, "labels.csv": b"new"}
        kept = {path for path in FILES if inode(f"out/{path}") == inodes[path]}
        assert kept == {"zips/val.zip", "zips/train.zip"}
        server.files["labels.csv"] = FILES["labels.csv"]
        renew(address)
        assert Path("report.json").read_bytes() == report


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda: damaged(Path("out/zips/val.zip")), id="other bytes"),
        pytest.param(lambda: Path("out/zips/val.zip").write_bytes(b"short"), id="too short"),
        pytest.param(lambda: Path("out/zips/val.zip").unlink(), id="not there"),
        pytest.param(lambda: shutil.rmtree("out"), id="no folder"),
        pytest.param(lambda: Path("report.json").write_text("{}"), id="no files in the report"),
        pytest.param(lambda: Path("report.json").write_text('{"files": {"zips/val.zip": 7}}'), id="another report"),
        pytest.param(lambda: Path("report.json").write_text("half of"), id="no report"),
    ],
)
def test_what_is_not_as_reported_is_fetched_anew(renew: Renew, harm: Callable[[], None]) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        renew(address)
        harm()
        server.requests.clear()
        renew(address)
    assert content_of(Path("out")) == FILES
    assert ("GET", "zips/val.zip", None) in server.requests


def test_the_same_file_of_another_origin_is_fetched(renew: Renew) -> None:
    one, other = BadServer(FILES), BadServer(FILES)
    with one.running() as first, other.running() as second:
        renew(first)
        renew(second)
    assert other.ranges == [None] * 3


def test_a_server_without_validators_is_asked_again(renew: Renew) -> None:
    server = BadServer(FILES)
    server.good = server.head = MissingObject(headers={"ETag": None})
    with server.running() as address:
        renew(address)
        renew(address)
    assert server.ranges == [None] * 6


def test_dates_serve_where_there_are_no_strong_tags(renew: Renew) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server = BadServer(FILES)
    server.good = server.head = MissingObject(headers={"ETag": 'W/"weak"', "Last-Modified": date})
    with server.running() as address:
        renew(address)
        renew(address)
    assert server.ranges == [None] * 3
    assert {file["validator"] for file in reported().values()} == {date}


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_refuses_head(renew: Renew, status: int) -> None:
    server = BadServer(FILES)
    server.head = MissingObject(status=status)
    with server.running() as address:
        renew(address)
        renew(address)
    assert content_of(Path("out")) == FILES
    assert server.ranges == [None] * 9  # three files: looked at, fetched, looked at


def test_a_failed_download_leaves_the_former_one_and_what_has_come(renew: Renew) -> None:
    server = BadServer(FILES)
    newer = {path: content[::-1] for path, content in FILES.items()}
    with server.running() as address:
        renew(address)
        report = Path("report.json").read_bytes()
        server.files = {path: newer[path] for path in ("zips/val.zip", "labels.csv")}
        gone = "zips/train.zip answered 404 Not Found. Check the address under `source` in params.yaml."
        assert failure(renew, address) == f"{address}/{gone}"
        assert content_of(Path("out")) == FILES
        server.files, server.good = newer, MissingObject(cut=150_000)
        broken = "broke off after 300000 of 400000 bytes (2 tries). Check the network, then run it again."
        assert failure(renew, address, assets=ASSETS[1:2]) == f"{address}/zips/train.zip {broken}"
        assert content_of(Path("out")) == FILES
        assert Path("report.json").read_bytes() == report
        assert content_of(Path("state/files")) == {"zips/train.zip": newer["zips/train.zip"][:300_000]}
        server.good = MissingObject()
        server.requests.clear()
        renew(address)
    assert content_of(Path("out")) == newer
    assert sorted((path, asked) for method, path, asked in server.requests if method == "GET" and asked) == [
        ("zips/train.zip", "bytes=300000-")
    ]


def test_a_part_of_a_version_that_is_gone_is_thrown_away(renew: Renew) -> None:
    server = BadServer(FILES)
    server.good = MissingObject(cut=50_000)
    with server.running() as address:
        failure(renew, address, assets=ASSETS[:1])
        assert Path("state/files/zips/val.zip").stat().st_size == 100_000
        server.files["zips/val.zip"] = b"new" * 50_000
        server.good = MissingObject()
        server.requests.clear()
        renew(address, assets=ASSETS[:1])
    assert content_of(Path("out")) == {"zips/val.zip": b"new" * 50_000}
    assert server.ranges == [None]


def half_of_val(server: BadServer, address: str, renew: Renew) -> None:
    """A run that ends with the first 100,000 bytes of zips/val.zip in the state folder."""
    server.good = MissingObject(cut=50_000)
    failure(renew, address, assets=ASSETS[:1])
    assert content_of(Path("state/files")) == {"zips/val.zip": FILES["zips/val.zip"][:100_000]}
    server.good = MissingObject()
    server.requests.clear()


RECORD = Path("state/records/zips/val.zip.json")
PART = Path("state/files/zips/val.zip")


@pytest.mark.parametrize(
    ("harm", "asked"),
    [
        pytest.param(lambda: None, "bytes=100000-", id="none"),
        pytest.param(lambda: RECORD.unlink(), None, id="no record"),
        pytest.param(lambda: RECORD.write_text("{"), None, id="half a record"),
        pytest.param(lambda: RECORD.write_text(RECORD.read_text().replace("http", "https")), None, id="another origin"),
        pytest.param(
            lambda: RECORD.write_text(RECORD.read_text().replace("200000", "200001")), None, id="another size"
        ),
        pytest.param(lambda: PART.unlink(), None, id="no part"),
        pytest.param(lambda: PART.write_bytes(bytes(200_001)), None, id="a part that is too long"),
    ],
)
def test_only_what_is_of_use_in_the_state_is_used(renew: Renew, harm: Callable[[], object], asked: str | None) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        half_of_val(server, address, renew)
        harm()
        renew(address, assets=ASSETS[:1])
    assert content_of(Path("out")) == {"zips/val.zip": FILES["zips/val.zip"]}
    assert server.ranges[-1] == asked


def test_a_damaged_part_is_found_by_the_digest_and_fetched_anew(renew: Renew) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        half_of_val(server, address, renew)
        damaged(PART)
        digest = f"sha256:{sha256(FILES['zips/val.zip']).hexdigest()}"
        renew(address, assets=[Asset("zips/val.zip", 200_000, digest)])
    assert content_of(Path("out")) == {"zips/val.zip": FILES["zips/val.zip"]}
    assert server.ranges == ["bytes=100000-", None]


def test_what_does_not_match_is_not_kept_for_later(renew: Renew) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        assert failure(renew, address, assets=[Asset("labels.csv", None, "md5:0")]) == (
            f"{address}/labels.csv has md5 {md5(FILES['labels.csv']).hexdigest()}, expected 0. "
            "The publisher's file changed or arrived damaged: run it again, or name a mirror under `source`."
        )
    assert content_of(Path("state")) == {}


def test_what_was_collected_and_not_installed_is_not_asked_for_again(renew: Renew) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        sync_files(ASSETS, address, Path("state"), Path("out"), Path("report.json"))
        server.requests.clear()
        renew(address)
    assert content_of(Path("out")) == FILES
    assert server.ranges == []


def test_former_bytes_are_never_written_over(renew: Renew) -> None:
    """A second name of a former file, such as DVC's cache may hold, keeps its bytes whatever comes after it."""
    server = BadServer(FILES)
    with server.running() as address:
        renew(address)
        os.link("out/zips/val.zip", "cached")
        sync_files(ASSETS, address, Path("state"), Path("out"), Path("report.json"))  # killed before it was installed
        assert inode("state/files/zips/val.zip") == inode("cached")
        server.files["zips/val.zip"] += b"more"
        renew(address)
    assert Path("out/zips/val.zip").read_bytes() == FILES["zips/val.zip"] + b"more"
    assert Path("cached").read_bytes() == FILES["zips/val.zip"]


def test_what_is_no_asset_any_more_goes(renew: Renew) -> None:
    server = BadServer({**FILES, "zips": b"a file where a folder was"})
    with server.running() as address:
        renew(address)
        sync_files(ASSETS, address, Path("state"), Path("out"), Path("report.json"))
        renew(address, assets=[Asset("labels.csv"), Asset("zips")])
    assert content_of(Path("out")) == {"labels.csv": FILES["labels.csv"], "zips": b"a file where a folder was"}
    assert list(reported()) == ["labels.csv", "zips"]


def test_the_disk_has_too_little_room(renew: Renew) -> None:
    server = BadServer(FILES)
    server.head = MissingObject(headers={"Content-Length": str(10**17)})
    with server.running() as address:
        message = failure(renew, address)
    free = re.sub(r"(?<=the disk has )[0-9,]+", "ALL", message)
    assert free == (
        "state: 300,000,000,000,000,000 bytes are still to come, and the disk has ALL free. "
        "Make room, then run it again: what has come is kept."
    )
    assert server.ranges == []


def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 0, 10))


def test_the_publishers_size_counts_where_the_server_tells_none(renew: Renew, monkeypatch: pytest.MonkeyPatch) -> None:
    no_room(monkeypatch)
    server = BadServer(FILES)
    server.head = MissingObject(headers={"Content-Length": None})
    with server.running() as address:
        message = failure(renew, address, assets=[Asset("labels.csv", size_bytes=3_000)])
    assert message.startswith("state: 3,000 bytes are still to come, and the disk has 10 free.")
    assert server.ranges == []


def test_an_unpacked_folder_needs_room_for_its_members(
    renew: Renew, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror/train").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "mirror/train" / name).write_bytes(bytes(1_000))
    no_room(monkeypatch)
    message = failure(renew, str(tmp_path / "mirror"), assets=[Asset("snacks.zip", unpacked=("train/*.jpg",))])
    assert message.startswith("state: 2,000 bytes are still to come, and the disk has 10 free.")


def test_a_head_that_lies_about_the_length_costs_nothing(renew: Renew) -> None:
    server = BadServer(FILES, MissingObject(cut=70_000), MissingObject(status=403))
    with server.running() as address:
        failure(renew, address, assets=ASSETS[:1])
        server.head = MissingObject(headers={"Content-Length": "0"})
        renew(address, assets=ASSETS[:1])
    assert server.ranges == [None, "bytes=70000-", "bytes=70000-"]
    assert content_of(Path("out")) == {"zips/val.zip": FILES["zips/val.zip"]}


def test_a_fault_of_the_copy_is_not_blamed_on_the_folder(
    renew: Renew, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "mirror/zips").mkdir(parents=True)
    (tmp_path / "mirror/zips/val.zip").write_bytes(FILES["zips/val.zip"])
    most_file_bytes = request.getfixturevalue("most_file_bytes")  # from here on
    assert failure(renew, str(tmp_path / "mirror"), assets=ASSETS[:1]) == (
        f"state/files/zips/val.zip could not be written after {most_file_bytes} bytes: File too large. "
        "Make room or grant access, then run it again."
    )


def test_a_home_that_nobody_has(renew: Renew) -> None:
    assert failure(renew, "~nobody_of_that_name/mirror") == (
        "~nobody_of_that_name/mirror begins with a user that this machine does not know. "
        "Check the address under `source` in params.yaml."
    )


def test_what_is_kept_needs_no_room(renew: Renew) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        renew(address)
        server.head = MissingObject(headers={"Content-Length": str(10**17)})
        renew(address)
    assert server.ranges == [None] * 3


def test_a_full_disk_keeps_what_has_come(renew: Renew, most_file_bytes: int) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        assert failure(renew, address, assets=ASSETS[:1]) == (
            f"state/files/zips/val.zip could not be written after {most_file_bytes} bytes: File too large. "
            "Make room or grant access, then run it again."
        )
    assert content_of(Path("state/files")) == {"zips/val.zip": FILES["zips/val.zip"][:most_file_bytes]}


def test_a_lock_that_a_killed_process_left_is_free(renew: Renew, caplog: pytest.LogCaptureFixture) -> None:
    Path("state").mkdir()
    Path("state/lock").touch()
    server = BadServer(FILES)
    with server.running() as address, caplog.at_level("INFO"):
        renew(address)
    assert caplog.messages == []


def test_a_folder_that_was_moved_away_by_a_killed_process_comes_back(renew: Renew) -> None:
    server = BadServer(FILES)
    with server.running() as address:
        renew(address)
        Path("out").rename(".out.former")
        server.good = MissingObject(status=404, body=b"")
        server.head = MissingObject(status=404)
        failure(renew, address)
    assert content_of(Path("out")) == FILES


def test_an_unpacked_folder_is_packed_when_it_has_changed(renew: Renew, tmp_path: Path) -> None:
    (tmp_path / "set" / "train").mkdir(parents=True)
    for name in ("labels.csv", "train/1.jpg", "train/2.jpg"):
        (tmp_path / "set" / name).write_text(name)
    assets = [Asset("set.zip", unpacked=("labels.csv", "train/*.jpg"))]
    renew("set", assets=assets)
    first, before = reported(), inode("out/set.zip")
    assert first["set.zip"]["origin"] == "set"
    renew("set", assets=assets)
    assert (reported(), inode("out/set.zip")) == (first, before)
    (tmp_path / "set" / "train" / "2.jpg").write_text("another")
    renew("set", assets=assets)
    assert reported()["set.zip"]["validator"] != first["set.zip"]["validator"]
    assert reported()["set.zip"]["sha256"] != first["set.zip"]["sha256"]


def test_a_file_of_a_folder_is_copied_when_it_has_changed(renew: Renew, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "labels.csv").write_bytes(b"one")
    renew("mirror", assets=ASSETS[2:])
    before = inode("out/labels.csv")
    renew("mirror", assets=ASSETS[2:])
    assert inode("out/labels.csv") == before
    os.utime(mirror / "labels.csv", ns=(1, 1))
    renew("mirror", assets=ASSETS[2:])
    assert inode("out/labels.csv") != before
    assert reported()["labels.csv"]["validator"] == "3 bytes, mtime 1 ns"
    (mirror / "labels.csv").unlink()
    assert failure(renew, "mirror", assets=ASSETS[2:]) == (
        "mirror/labels.csv not found. A folder given as `source` in params.yaml is laid out like the upstream."
    )
    assert content_of(Path("out")) == {"labels.csv": b"one"}
