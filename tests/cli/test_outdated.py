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
    """Digits from that source; the other datasets are drawn, and nothing of them is here."""
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
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What it prints of those datasets."""

    def tell(*datasets: str) -> str:
        capsys.readouterr()
        assert outdated(list(datasets)) == 0
        return capsys.readouterr().out

    return tell


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
def test_a_folder_tells_by_size_and_time(
    downloaded: Downloaded, folder: Path, told: Callable[..., str], change: Callable[[Path], object]
) -> None:
    downloaded(str(folder))
    assert told() == ""
    change(folder / CHANGED)
    assert told() == "digits\n"
    assert told("digits", "coco") == "digits\n"
    assert told("coco") == ""
    downloaded(str(folder))
    assert told() == ""


def test_a_server_tells_by_etag_and_nothing_is_transferred(downloaded: Downloaded, told: Callable[..., str]) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        downloaded(address)
        server.requests.clear()
        assert told() == ""
        server.files[CHANGED] = FILES[CHANGED].swapcase()  # as long as before
        assert told() == "digits\n"
    assert sorted(server.requests) == sorted(("HEAD", path, None) for path in [*FILES, *FILES])


def test_a_server_that_does_not_answer_names_itself(downloaded: Downloaded) -> None:
    server = FaultyServer(FILES)
    with server.running() as address:
        downloaded(address)
        server.head_fault = Fault(status=404, body=b"")
        del server.files[CHANGED]
        with pytest.raises(BoxlineError, match=f"^{address}/"):
            outdated(["digits"])


def test_another_source_than_that_of_the_download_is_a_change(
    downloaded: Downloaded, folder: Path, told: Callable[..., str]
) -> None:
    downloaded(str(folder))
    params = tiny_params()
    moved = folder.rename(folder.with_name("moved"))
    params["datasets"]["digits"]["source"] = str(moved)
    write_params(Path(), params)
    assert told() == "digits\n"


def test_what_is_drawn_is_never_outdated(downloaded: Downloaded, told: Callable[..., str]) -> None:
    write_params(Path(), tiny_params())
    run_stage("sample", "digits")
    downloaded("sample")
    (Path("data/digits/sample") / CHANGED).write_bytes(b"new")
    assert told() == ""


def test_what_was_never_downloaded_is_not_outdated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, told: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    params = tiny_params()
    params["datasets"]["digits"]["source"] = str(folder)
    write_params(tmp_path, params)
    assert told() == ""


def test_an_unknown_dataset_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, tiny_params())
    with pytest.raises(BoxlineError) as raised:
        outdated(["flickr"])
    known = "digits, coco, rectangles, snacks"
    assert str(raised.value) == f"params.yaml: datasets has no entry 'flickr'; known are {known}."
