"""`boxline outdated` after real downloads of small files, from a folder and from a server."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli.outdated import outdated
from pipeline.core.errors import BoxlineError
from pipeline.datasets.digits.source import SOURCE
from tests.support.servers import Fault, FaultyServer
from tests.support.stages import run_stage
from tests.support.tiny_project import tiny_params, write_params

FILES = {asset.path: f"content of {asset.path}".encode() for asset in SOURCE.assets}
CHANGED = SOURCE.assets[2].path

Downloaded = Callable[[str], None]


@pytest.fixture
def downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Downloaded:
    """Downloads the digits from a source; the other datasets have samples as sources, and no files."""
    monkeypatch.chdir(tmp_path)

    def download(source: str) -> None:
        params = tiny_params()
        params["datasets"]["digits"]["source"] = source
        write_params(tmp_path, params)
        run_stage("download", "digits")

    return download


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for path, content in FILES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The output for those datasets."""

    def run(*datasets: str) -> str:
        capsys.readouterr()
        assert outdated(list(datasets)) == 0
        return capsys.readouterr().out

    return run


def touch_later(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.write_bytes(b"more than before, or less"), id="size"),
        pytest.param(touch_later, id="time"),
    ],
)
def test_folder_changes_by_size_or_time(
    downloaded: Downloaded, folder: Path, printed: Callable[..., str], change: Callable[[Path], object]
) -> None:
    downloaded(str(folder))
    assert printed() == ""
    change(folder / CHANGED)
    assert printed() == "digits\n"
    assert printed("digits", "coco") == "digits\n"
    assert printed("coco") == ""
    downloaded(str(folder))
    assert printed() == ""


def test_server_changes_by_etag_without_transfer(downloaded: Downloaded, printed: Callable[..., str]) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        downloaded(address)
        server.requests.clear()
        assert printed() == ""
        server.files[CHANGED] = FILES[CHANGED].swapcase()  # as long as before
        assert printed() == "digits\n"
    assert sorted(server.requests) == sorted(("HEAD", path, None) for path in [*FILES, *FILES])


def test_failing_server_is_named(downloaded: Downloaded) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        downloaded(address)
        server.head_fault = Fault(status=404, body=b"")
        del server.files[CHANGED]
        with pytest.raises(BoxlineError, match=f"^{address}/"):
            outdated(["digits"])


def test_new_source_is_a_change(downloaded: Downloaded, folder: Path, printed: Callable[..., str]) -> None:
    downloaded(str(folder))
    params = tiny_params()
    moved = folder.rename(folder.with_name("moved"))
    params["datasets"]["digits"]["source"] = str(moved)
    write_params(Path(), params)
    assert printed() == "digits\n"


def test_sample_is_never_outdated(downloaded: Downloaded, printed: Callable[..., str]) -> None:
    write_params(Path(), tiny_params())
    run_stage("sample", "digits")
    downloaded("sample")
    (Path("data/digits/sample") / CHANGED).write_bytes(b"new")
    assert printed() == ""


def test_dataset_without_download_is_not_outdated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, printed: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    params = tiny_params()
    params["datasets"]["digits"]["source"] = str(folder)
    write_params(tmp_path, params)
    assert printed() == ""


def test_unknown_dataset_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, tiny_params())
    with pytest.raises(BoxlineError) as raised:
        outdated(["flickr"])
    known = "digits, coco, rectangles, snacks"
    assert str(raised.value) == f"params.yaml: datasets has no entry 'flickr'; known are {known}."
