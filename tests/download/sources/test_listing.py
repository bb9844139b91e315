"""Sources of own data: from any folder, archive or address to archives, and back to the same names and bytes."""

import io
import json
import os
import random
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archives.file_tree import FileTree
from pipeline.archives.zip_archive import Archive, write_archive
from pipeline.core import progress
from pipeline.core.errors import BoxlineError
from pipeline.core.thread_pool import CancelledError
from pipeline.download.retry import RetryPolicy
from pipeline.download.sources.converted_tar import ConvertedTar
from pipeline.download.sources.listing import list_source
from pipeline.download.sources.packed_files import PackedFiles
from pipeline.download.sync import changed_since, exclusive_lock, install, sync_files
from tests.support.servers import NO_FAULT, Fault, FaultyServer

QUICK = RetryPolicy(max_attempts=2, initial_backoff_seconds=0.001, max_backoff_seconds=0.01)
ADVICE = "Check the address in `source` of params.yaml."
KINDS = "an archive (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tbz2, .tar.xz, .txz) or a TFRecord file"

FILES = {"day/1.jpg": b"1", "day/2.PNG": b"2", "labels/1.xml": b"<1>", "classes.txt": b"cat"}


class Download:
    """The download of one source, as the stage makes it."""

    def __init__(self, folder: Path, address: str) -> None:
        self._address = address
        self.out, self.partial, self.report = folder / "out", folder / "partial", folder / "report.json"

    def run(self) -> "Download":
        with exclusive_lock(self.partial, "download"):
            downloaded = sync_files(list_source(self._address, QUICK), self.partial, self.out, self.report, QUICK)
            install(downloaded, self.partial, self.out, self.report)
        return self

    def failure(self) -> str:
        with pytest.raises(BoxlineError) as raised:
            self.run()
        return str(raised.value)

    def is_outdated(self) -> bool:
        return changed_since(self.report, list_source(self._address, QUICK), QUICK)

    def archives(self) -> dict[str, list[str]]:
        """The members of each archive, and [] for other files."""
        paths = sorted(path for path in self.out.rglob("*") if path.is_file())
        return {
            path.relative_to(self.out).as_posix(): Archive(path).names() if path.suffix == ".zip" else []
            for path in paths
        }

    def contents(self) -> dict[str, bytes]:
        tree = FileTree(self.out)
        return {name: tree.read(name) for name in tree.names()}

    def inodes(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.out.iterdir()}


@pytest.fixture
def download(tmp_path: Path) -> Callable[[object], Download]:
    return lambda address: Download(tmp_path / "work", str(address))


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def tarred(files: dict[str, bytes], mode: Any = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_loose_images_and_annotations_have_an_archive_each(
    tmp_path: Path, download: Callable[[object], Download]
) -> None:
    done = download(write(tmp_path / "set", FILES)).run()
    assert done.archives() == {
        "annotations.zip": ["classes.txt", "labels/1.xml"],
        "images.zip": ["day/1.jpg", "day/2.PNG"],
    }
    assert done.contents() == FILES


def test_equal_files_make_equal_archives(tmp_path: Path) -> None:
    """Whatever the order of their creation and their times."""
    for number, items in enumerate((list(FILES.items()), list(FILES.items())[::-1])):
        root = write(tmp_path / f"set{number}", dict(items))
        for path in root.rglob("*"):
            os.utime(path, (number, number))
        Download(tmp_path / f"work{number}", str(root)).run()
    for name in ("images.zip", "annotations.zip"):
        assert (tmp_path / "work0/out" / name).read_bytes() == (tmp_path / "work1/out" / name).read_bytes()


def test_archives_and_records_stay_and_tars_become_zips(tmp_path: Path, download: Callable[[object], Download]) -> None:
    archive, shard = zipped({"2.jpg": b"2"}), "set.tfrecord-00000-of-00002"
    records = {"train.record": b"r", f"deep/{shard}": b"s", "x.TFREC": b"t"}
    files = {"a.zip": archive, "day/more.tar.gz": tarred({"3.jpg": b"3", "x/4.jpg": b"4"}), "1.jpg": b"1", **records}
    done = download(write(tmp_path / "set", files)).run()
    assert (done.out / "a.zip").read_bytes() == archive
    assert done.contents() == {"1.jpg": b"1", "2.jpg": b"2", "day/3.jpg": b"3", "day/x/4.jpg": b"4", **records}
    assert list(done.archives()) == ["a.zip", "day/more.zip", f"deep/{shard}", "images.zip", "train.record", "x.TFREC"]


def test_other_files_are_passed_over_and_logged(
    tmp_path: Path, download: Callable[[object], Download], caplog: pytest.LogCaptureFixture
) -> None:
    root = write(tmp_path / "set", {**FILES, "b.mp4": b"", "a.mov": b"", "c.doc": b"", "d": b"", ".hidden": b""})
    with caplog.at_level("INFO", logger="pipeline"):
        assert download(root).run().contents() == FILES
    assert caplog.messages[0] == (
        f"{root}: passed over 4 files that are no images, annotations or archives: 'a.mov', 'b.mp4', 'c.doc' and 1 more"
    )


def test_own_archives_with_the_names_of_packed_ones_are_kept(
    tmp_path: Path, download: Callable[[object], Download]
) -> None:
    own = {
        "images.zip": zipped({"1.jpg": b"own"}),
        "Annotations.zip": zipped({"own.txt": b"own"}),
        "images.tar": tarred({"3.jpg": b"3"}, "w"),
    }
    root = write(tmp_path / "set", {**own, "1.jpg": b"loose", "labels.csv": b"csv"})
    done = download(root).run()
    assert sorted(done.archives()) == [
        "Annotations.zip",
        "annotations-2.zip",
        "images-2.zip",
        "images-3.zip",
        "images.zip",
    ]
    assert (done.out / "images.zip").read_bytes() == own["images.zip"]
    expected = {"1.jpg": b"loose", "images.zip/1.jpg": b"own", "own.txt": b"own", "labels.csv": b"csv"}
    assert done.contents() == {**expected, "3.jpg": b"3"}


def test_only_what_changed_is_packed_again(tmp_path: Path, download: Callable[[object], Download]) -> None:
    root = write(tmp_path / "set", FILES)
    done = download(root).run()
    assert not done.is_outdated()
    inodes = done.inodes()
    assert done.run().inodes() == inodes
    (root / "labels/1.xml").write_bytes(b"<corrected>")
    assert done.is_outdated()
    assert done.run().inodes()["images.zip"] == inodes["images.zip"]
    assert done.contents() == {**FILES, "labels/1.xml": b"<corrected>"}
    assert not done.is_outdated()


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "day/3.jpg").write_bytes(b"3"),
        lambda root: (root / "day/1.jpg").unlink(),
        lambda root: (root / "more.zip").write_bytes(zipped({"4.jpg": b"4"})),
        lambda root: [path.unlink() for path in (root / "labels/1.xml", root / "classes.txt")],
    ],
)
def test_new_changed_and_missing_files_are_detected(
    tmp_path: Path, download: Callable[[object], Download], change: Callable[[Path], object]
) -> None:
    root = write(tmp_path / "set", FILES)
    done = download(root).run()
    change(root)
    assert done.is_outdated()
    done.run()
    assert done.contents() == {name: FileTree(root).read(name) for name in FileTree(root).names()}
    assert not done.is_outdated()


def test_unreadable_files_and_links_out_of_the_folder_are_left_out(
    tmp_path: Path, download: Callable[[object], Download], caplog: pytest.LogCaptureFixture
) -> None:
    root = write(tmp_path / "set", FILES)
    write(tmp_path, {"secret.jpg": b"secret"})
    (root / "secret.jpg").symlink_to(tmp_path / "secret.jpg")
    with (root / "huge.jpg").open("wb") as huge:
        huge.truncate((64 << 20) + 1)
    assert download(root).run().contents() == FILES
    assert caplog.messages == [
        f"{root}/secret.jpg is a link that leads out of {root}. Replace it with the file itself. It is left out.",
        f"{root}/huge.jpg has 67108865 bytes, more than 67108864 allowed. It is left out.",
    ]


def test_excluded_folders_are_no_part_of_the_source(tmp_path: Path) -> None:
    root = write(tmp_path, {"photos/1.jpg": b"", "data/mine/download/images.zip": b"", "more/data/2.jpg": b""})
    [(asset, source)] = list_source(str(root), QUICK, excluded=[root / "data"])
    assert asset.path == "images.zip"
    assert source.stat() == PackedFiles(root, ["more/data/2.jpg", "photos/1.jpg"]).stat()


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.TGZ", "set.tar.bz2", "set.tar.xz"])
def test_local_archive_is_a_source(tmp_path: Path, download: Callable[[object], Download], name: str) -> None:
    mode = {"zip": "", "tar": "w", "bz2": "w:bz2", ".xz": "w:xz"}.get(name[-3:], "w:gz")
    write(tmp_path, {name: tarred(FILES, mode) if mode else zipped(FILES)})
    done = download(tmp_path / name).run()
    assert done.archives() == {"set.zip": list(FILES)}
    assert done.contents() == FILES
    assert not done.is_outdated()


def test_home_folder_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "home/photos", FILES)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")
    for number, address in enumerate(("~/photos", "photos", "./photos/", "../home/photos")):
        assert Download(tmp_path / str(number), address).run().contents() == FILES


def test_truncated_tar_leaves_the_previous_download(tmp_path: Path, download: Callable[[object], Download]) -> None:
    path = tmp_path / "set.tar.gz"
    path.write_bytes(tarred(FILES))
    done = download(path).run()
    path.write_bytes(tarred(FILES)[:-20])
    assert done.failure() == (
        f"{path} cannot be read as a tar archive: Compressed file ended before the end-of-stream marker was reached. "
        "Get it again from its publisher."
    )
    assert done.contents() == FILES
    path.write_bytes(tarred({"new.jpg": b"new"}))
    assert done.run().contents() == {"new.jpg": b"new"}


def test_progress_of_a_tar_ends_with_its_size(
    tmp_path: Path, download: Callable[[object], Download], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(progress.PROGRESS_VARIABLE, str(tmp_path / "progress.json"))
    monkeypatch.setattr(progress, "WRITE_INTERVAL_SECONDS", 0)
    path = tmp_path / "set.tar"
    path.write_bytes(tarred(FILES, "w"))
    [(_, source)] = list_source(str(path), QUICK)
    assert isinstance(source, ConvertedTar)
    source.write_zip(tmp_path / "set.zip", tmp_path / "scratch", threading.Event())
    size = path.stat().st_size
    assert json.loads((tmp_path / "progress.json").read_text()) == {
        "what": "packing set.zip (B)",
        "done": size,
        "total": size,
    }


def test_full_disk_stops_the_conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 28))
    path = tmp_path / "set.tar"
    path.write_bytes(tarred(FILES, "w"))
    [(_, source)] = list_source(str(path), QUICK)
    assert isinstance(source, ConvertedTar)
    with pytest.raises(BoxlineError) as raised:
        source.write_zip(tmp_path / "set.zip", tmp_path / "scratch", threading.Event())
    assert str(raised.value) == (
        f"{tmp_path}/set.zip: only 268,435,456 bytes are free on the disk, and the archive is not complete yet. "
        "Free disk space, then run the command again."
    )


def test_canceled_packing_stops(tmp_path: Path) -> None:
    """As after Ctrl-C, or if another file cannot be downloaded."""
    stop = threading.Event()
    stop.set()
    root = write(tmp_path / "set", {**FILES, "set.tar": tarred(FILES)})
    for asset, source in list_source(str(root), QUICK):
        if not asset.path.startswith("set"):
            assert isinstance(source, PackedFiles)
        with pytest.raises(CancelledError):
            source.write_zip(tmp_path / "target.zip", tmp_path / "scratch", stop)  # type: ignore[union-attr]


def failure(address: object) -> str:
    with pytest.raises(BoxlineError) as raised:
        list_source(str(address), QUICK)
    return str(raised.value)


def test_wrong_addresses_are_errors(tmp_path: Path) -> None:
    write(tmp_path, {"BCCD/1.doc": b"", "empty/.DS_Store": b"", "labels.json": b""})
    assert failure(tmp_path / "BCDC") == f"{tmp_path}/BCDC not found; did you mean {tmp_path}/BCCD? {ADVICE}"
    assert failure(tmp_path / "labels.json") == (
        f"{tmp_path}/labels.json is neither a folder nor {KINDS}. "
        "Name the folder that holds the annotations and the images."
    )
    assert failure(tmp_path / "BCCD") == (
        f"{tmp_path}/BCCD has no images, annotations, archives or TFRecord files, only 1 other: '1.doc'. {ADVICE}"
    )
    assert failure(tmp_path / "empty") == f"{tmp_path}/empty has no files. {ADVICE}"
    assert failure("ftp://host/set.zip") == (
        "ftp://host/set.zip cannot be read: `source` in params.yaml must be a folder, or an http(s):// or s3:// URL."
    )
    assert failure("~nobody-of-this-name/a") == (
        f"~nobody-of-this-name/a starts with a user name that is unknown on this machine. {ADVICE}"
    )


@pytest.mark.parametrize(
    ("path", "content", "name"),
    [
        ("sets/my%20set.zip", zipped(FILES), "my set.zip"),
        ("sets/set.tar.gz", tarred(FILES), "set.zip"),
        ("sets/42", zipped(FILES), "42.zip"),
        ("sets/42", tarred(FILES), "42.zip"),
        ("sets/set.bin", tarred(FILES, "w"), "set.zip"),
        ("", tarred(FILES, "w:xz"), "archive.zip"),
    ],
)
def test_archive_at_a_url_is_a_source(
    download: Callable[[object], Download], path: str, content: bytes, name: str
) -> None:
    """Its suffix is that of its name or, without one, that of its content."""
    server = FaultyServer({path: content})
    with server.running() as address:
        done = download(f"{address}/{path}?token=secret").run()
        assert not done.is_outdated()
        assert all(target.endswith("?token=secret") for target in server.targets)
        server.files[path] = content + b"\0"
        assert done.is_outdated()
    assert list(done.archives()) == [name]
    assert done.contents() == FILES
    assert "secret" not in done.report.read_text()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="photos.zip"', "photos.zip"),
        ("attachment; filename*=UTF-8''K%C3%B6ln.zip", "Köln.zip"),
        ('attachment; filename="../../.evil.zip"', "evil.zip"),
        ('attachment; filename="photos"', "42.zip"),
        ("nonsense", "42.zip"),
    ],
)
def test_url_without_suffix_has_the_name_that_its_server_states(
    download: Callable[[object], Download], header: str, name: str
) -> None:
    server = FaultyServer({"42": zipped(FILES)})
    server.default_fault = Fault(headers={"Content-Disposition": header})
    with server.running() as address:
        assert list(download(f"{address}/42").run().archives()) == [name]


def test_url_that_is_no_archive_is_an_error() -> None:
    server = FaultyServer({"labels.json": b"{}", "page": b"<!doctype html>"})
    with server.running() as address:
        for path in server.files:
            assert failure(f"{address}/{path}?a=b") == f"{address}/{path} is neither a folder nor {KINDS}. {ADVICE}"
        assert failure(f"{address}/none") == f"{address}/none returned 404 Not Found. {ADVICE}"


def test_interrupted_download_of_a_tar_is_resumed(download: Callable[[object], Download]) -> None:
    content = tarred({"1.jpg": random.Random(1).randbytes(300_000)}, "w")
    server = FaultyServer({"set.tar": content}, Fault(cut=100_000), Fault(status=404, body=b""))
    with server.running() as address:
        done = download(f"{address}/set.tar")
        assert done.failure() == f"{address}/set.tar returned 404 Not Found. {ADVICE}"
        assert not done.out.exists()
        assert list(done.run().contents()) == ["1.jpg"]
    assert server.ranges == [None, "bytes=100000-", "bytes=100000-"]
    assert [path.name for path in done.partial.iterdir()] == []


def test_busy_server_of_a_tar_is_asked_again(download: Callable[[object], Download]) -> None:
    """At each of its requests: for the version and size before the download, and for the file."""
    busy = Fault(status=503, body=b"")
    server = FaultyServer({"set.tar": tarred(FILES, "w")}, *[busy, NO_FAULT] * 6)
    server.head_fault = busy
    with server.running() as address:
        assert download(f"{address}/set.tar").run().contents() == FILES


def test_error_of_a_downloaded_tar_names_its_address(download: Callable[[object], Download]) -> None:
    server = FaultyServer({"set.tar": b"text"})
    with server.running() as address:
        assert download(f"{address}/set.tar").failure() == (
            f"{address}/set.tar cannot be read as a tar archive: it is truncated. Get it again from its publisher."
        )


parts = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1, max_size=6).filter(
    lambda part: not part.startswith(".") and part != "__MACOSX"
)
names = st.builds(
    lambda folders, stem, suffix: "/".join([*folders, stem + suffix]),
    st.lists(parts, max_size=2),
    parts,
    st.sampled_from([".jpg", ".PNG", ".json", ".txt", ".record", ".xml", ".zip.csv"]),
)


@given(
    loose=st.dictionaries(names, st.binary(max_size=5), min_size=1, max_size=6),
    archived=st.dictionaries(names, st.binary(max_size=5), max_size=4),
    archive=st.sampled_from(["images.zip", "a/x.ZIP", "annotations.zip", "z.zip"]),
)
def test_any_folder_has_the_same_names_and_bytes_after_its_download(
    tmp_path_factory: pytest.TempPathFactory, loose: dict[str, bytes], archived: dict[str, bytes], archive: str
) -> None:
    folder = tmp_path_factory.mktemp("source")
    root = folder / "set"
    for name, content in loose.items():
        try:
            write(root, {name: content})
        except OSError:  # a folder has this name, or it is too long
            continue
    if archived:
        write_archive(root / archive, archived.items())
    tree = FileTree(root)
    expected = {name: tree.read(name) for name in tree.names()}
    assert Download(folder, str(root)).run().contents() == expected
