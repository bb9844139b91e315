"""Files and folders that appear whole or not at all."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import BoxlineError


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A folder to fill. It takes the place of `path` when the block ends well and vanishes when it does not."""
    path = path.resolve()  # it may be a link to another disk
    partial = _beside(path, "partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    restore_directory(path)
    try:
        yield partial
        replace_directory(path, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_directory(path: Path, new: Path) -> None:
    """Put `new` in the place of `path`. At every moment one of the two is whole; see `restore_directory`."""
    path = path.resolve()
    previous = _beside(path, "former")
    _remove(previous)
    if path.exists():
        path.rename(previous)
    new.rename(path)
    _remove(previous)


def restore_directory(path: Path) -> None:
    """Put right what a process leaves that was killed between the two renames of `replace_directory`."""
    path = path.resolve()
    previous = _beside(path, "former")
    if previous.exists() and not path.exists():
        previous.rename(path)


@contextlib.contextmanager
def resumable_directory(path: Path) -> Iterator[Path]:
    """A folder to fill, with the whole files that a stopped run left in it; the caller drops what it has no use for.

    It takes the place of `path` when the block ends well. When it does not, it waits for the next run where there are
    files in it.
    """
    path = path.resolve()
    partial = _beside(path, "partial")
    partial.mkdir(parents=True, exist_ok=True)
    restore_directory(path)
    try:
        for threshold in list(partial.rglob(".*.partial*")):
            threshold.unlink()
        yield partial
        replace_directory(path, partial)
    finally:
        if not any(file.is_file() for file in partial.rglob("*")):
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A file to write. It takes the place of `path` when the block ends well and vanishes when it does not."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Indented JSON, whole or not at all. NaN is refused: a score that is not a number has no place in a report."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote. Raises BoxlineError where the file holds something else."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BoxlineError(f"{path} is not valid JSON ({error}). Delete it and make it anew.") from None
    return content


def _remove(previous: Path) -> None:
    """Under another name, since what has the name of a former folder is taken for a whole one."""
    waste = previous.with_suffix(".waste")
    shutil.rmtree(waste, ignore_errors=True)
    if previous.exists():
        previous.rename(waste)
        shutil.rmtree(waste, ignore_errors=True)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")
