import shutil
from pathlib import Path

import pytest

from pipeline.core.atomic_files import atomic_directory, atomic_write, read_json, resumable_directory, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupted_fill(out: Path) -> None:
    with atomic_directory(out) as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt


def interrupted_write(path: Path) -> None:
    with atomic_write(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt


def test_new_folder_replaces_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for content in ("first", "second"):
        with atomic_directory(out) as folder:
            (folder / content).touch()
        assert names(out) == [content]
    assert names(tmp_path) == ["out"]


def test_failure_keeps_old_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with atomic_directory(out) as folder:
        (folder / "good").touch()
    with pytest.raises(KeyboardInterrupt):
        interrupted_fill(out)
    assert names(tmp_path) == ["out"]
    assert names(out) == ["good"]


def test_remains_of_killed_process_are_deleted(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "stale").touch()
    with atomic_directory(tmp_path / "out") as folder:
        assert names(folder) == []
    assert names(tmp_path) == ["out"]


def test_link_to_another_disk_is_kept(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "data")
    for fill, content in ((atomic_directory, "first"), (resumable_directory, "second"), (atomic_directory, "third")):
        with fill(tmp_path / "out") as folder:
            (folder / content).touch()
        assert names(tmp_path / "disk" / "data") == [content]
    assert (tmp_path / "out").is_symlink()
    assert names(tmp_path / "disk") == ["data"]


def test_half_deleted_previous_folder_is_never_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill during its deletion, then a deleted new folder, then a failing run."""
    out = tmp_path / "out"
    with atomic_directory(out) as folder:
        (folder / "a").touch()
        (folder / "b").touch()

    def killed(path: Path, ignore_errors: bool) -> None:
        if path.exists() and "partial" not in path.name:
            (path / "b").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt), atomic_directory(out):
            pass
    shutil.rmtree(out)
    with pytest.raises(KeyboardInterrupt):
        interrupted_fill(out)
    assert not out.exists()


def interrupted_work(out: Path, name: str | None) -> None:
    with resumable_directory(out) as folder:
        if name:
            (folder / "deep").mkdir(exist_ok=True)
            (folder / "deep" / name).touch()
        raise KeyboardInterrupt


def test_finished_files_are_kept_for_next_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with resumable_directory(out) as folder:
        (folder / "first").touch()
    with pytest.raises(KeyboardInterrupt):
        interrupted_work(out, "finished")
    assert names(out) == ["first"]
    assert names(tmp_path) == [".out.partial", "out"]
    with resumable_directory(out) as folder:
        assert names(folder) == ["deep"]
        assert names(folder / "deep") == ["finished"]
        assert names(out) == ["first"]
    assert names(tmp_path) == ["out"]
    assert names(out) == ["deep"]


def test_half_written_files_are_deleted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        interrupted_work(out, ".half.partial.arrow")
    with resumable_directory(out) as folder:
        assert not any(path.is_file() for path in folder.rglob("*"))


def test_empty_partial_folder_is_deleted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted_work(tmp_path / "out", None)
    assert names(tmp_path) == []


def test_failure_keeps_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"score": 1})
    with pytest.raises(KeyboardInterrupt):
        interrupted_write(path)
    assert names(path.parent) == ["file.json"]
    assert read_json(path) == {"score": 1}


def test_nan_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "metrics.json", {"AP": float("nan")})
    assert names(tmp_path) == []
