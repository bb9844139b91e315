"""The file by which a stage tells how far it is."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.core import progress
from pipeline.core.progress import bar, byte_bar, write_progress


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "train@coco_yolo.progress"
    monkeypatch.setenv("BOXLINE_PROGRESS", str(file))
    return file


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    seconds = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    yield seconds
    monkeypatch.undo()


def told(file: Path) -> object:
    return json.loads(file.read_text())


def test_what_is_done_and_of_how_much(file: Path) -> None:
    write_progress("pack (images)", 3, 12)
    assert told(file) == {"what": "pack (images)", "done": 3, "total": 12}
    write_progress("pack (images)", 4, 12)
    assert told(file) == {"what": "pack (images)", "done": 4, "total": 12}
    assert list(file.parent.iterdir()) == [file]


def test_a_reader_finds_it_whole_or_not_at_all(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written lies beside it until it is whole."""
    write_progress("pack (images)", 3, 12)
    seen = []

    def replace(partial: Path, name: str) -> None:
        seen.append((told(file), told(partial), name))

    monkeypatch.setattr(Path, "replace", replace)
    write_progress("pack (images)", 4, 12)
    before, after = ({"what": "pack (images)", "done": done, "total": 12} for done in (3, 4))
    assert seen == [(before, after, str(file))]


def test_a_bar_tells_at_most_once_a_second(file: Path, clock: list[float]) -> None:
    done = []
    with bar("pack", 1000, "image") as shown:
        for second in (0, 0.5, 0.9, 1.0, 1.5, 2.5):
            clock[0] = 100 + second
            file.unlink(missing_ok=True)
            shown.update(10)
            done.append(told(file)["done"] if file.exists() else None)  # type: ignore[index]
    assert done == [10, None, None, 40, None, 60]


def test_bytes_that_are_already_there_count(file: Path) -> None:
    with byte_bar("train.zip", 2048, 1024) as shown:
        shown.update(512)
    assert told(file) == {"what": "train.zip (B)", "done": 1536, "total": 2048}


def test_where_nobody_watches_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOXLINE_PROGRESS", raising=False)
    with bar("pack", 3, "image") as shown:
        shown.update()
    assert list(tmp_path.iterdir()) == []


def test_threads_tell_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLINE_PROGRESS", str(tmp_path / "told"))

    def tell_often(number: int) -> None:
        for done in range(200):
            write_progress(f"thread {number}", done, 200)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(tell_often, range(4)))
    assert json.loads((tmp_path / "told").read_text())["done"] == 199
    assert [path.name for path in tmp_path.iterdir()] == ["told"]


def test_a_folder_that_is_not_there_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLINE_PROGRESS", str(tmp_path / "gone" / "told"))
    write_progress("work", 1, 2)
    assert list(tmp_path.iterdir()) == []
