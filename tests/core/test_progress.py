"""The progress file of a stage."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.core import progress
from pipeline.core.progress import ProgressBar, byte_bar, write_progress


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


def content(file: Path) -> object:
    return json.loads(file.read_text())


def test_file_has_description_count_and_total(file: Path) -> None:
    write_progress("pack (images)", 3, 12)
    assert content(file) == {"what": "pack (images)", "done": 3, "total": 12}
    write_progress("pack (images)", 4, 12)
    assert content(file) == {"what": "pack (images)", "done": 4, "total": 12}
    assert list(file.parent.iterdir()) == [file]


def test_file_is_written_atomically(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_progress("pack (images)", 3, 12)
    seen = []

    def replace(partial: Path, name: str) -> None:
        seen.append((content(file), content(partial), name))

    monkeypatch.setattr(Path, "replace", replace)
    write_progress("pack (images)", 4, 12)
    before, after = ({"what": "pack (images)", "done": done, "total": 12} for done in (3, 4))
    assert seen == [(before, after, str(file))]


def test_bar_writes_at_most_once_per_second(file: Path, clock: list[float]) -> None:
    done = []
    with ProgressBar("pack", 1000, "image") as shown:
        for second in (0, 0.5, 0.9, 1.0, 1.5, 2.5):
            clock[0] = 100 + second
            file.unlink(missing_ok=True)
            shown.update(10)
            done.append(content(file)["done"] if file.exists() else None)  # type: ignore[index]
    assert done == [10, None, None, 40, None, 60]


def test_byte_bar_counts_bytes_that_exist(file: Path) -> None:
    with byte_bar("train.zip", 2048, 1024) as shown:
        shown.update(512)
    assert content(file) == {"what": "train.zip (B)", "done": 1536, "total": 2048}


def test_without_variable_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOXLINE_PROGRESS", raising=False)
    with ProgressBar("pack", 3, "image") as shown:
        shown.update()
    assert list(tmp_path.iterdir()) == []


def test_threads_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLINE_PROGRESS", str(tmp_path / "progress"))

    def write_often(number: int) -> None:
        for done in range(200):
            write_progress(f"thread {number}", done, 200)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(write_often, range(4)))
    assert json.loads((tmp_path / "progress").read_text())["done"] == 199
    assert [path.name for path in tmp_path.iterdir()] == ["progress"]


def test_missing_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXLINE_PROGRESS", str(tmp_path / "gone" / "progress"))
    write_progress("work", 1, 2)
    assert list(tmp_path.iterdir()) == []
