"""Atomic writes of files and folders: readers see the old content or the new one, never a part of it."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import BoxlineError
from pipeline.core.file_names import max_name_bytes

DIGEST_DIGITS = 16
"""Hexadecimal digits that stand for a name in a hidden name."""

MAX_ENDING = 32
"""Characters of the ending of a hidden name. A longer one is no suffix of a format."""


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `path` when the block ends, and is deleted when it raises."""
    path = path.resolve()  # a link to another disk must stay one
    partial = _sibling(path, "partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    restore_directory(path)
    try:
        yield partial
        replace_directory(path, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_directory(path: Path, new: Path) -> None:
    """Replace the folder `path` by `new`. A complete folder exists at every moment; see `restore_directory`."""
    path = path.resolve()
    previous = _sibling(path, "previous")
    _remove(previous)
    if path.exists():
        path.rename(previous)
    new.rename(path)
    _remove(previous)


def restore_directory(path: Path) -> None:
    """Undo the first of the two renames of `replace_directory` if a process was killed between them."""
    path = path.resolve()
    previous = _sibling(path, "previous")
    if previous.exists() and not path.exists():
        previous.rename(path)


@contextlib.contextmanager
def resumable_directory(path: Path) -> Iterator[Path]:
    """Yield a folder with the complete files of an interrupted run; the caller deletes those that it cannot reuse.

    The folder replaces `path` when the block ends. If the block raises, the folder stays for the next run, unless it
    holds no files.
    """
    path = path.resolve()
    partial = _sibling(path, "partial")
    partial.mkdir(parents=True, exist_ok=True)
    restore_directory(path)
    try:
        for unfinished in list(partial.rglob(".*.partial*")):
            unfinished.unlink()
        yield partial
        replace_directory(path, partial)
    finally:
        if not any(file.is_file() for file in partial.rglob("*")):
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a new file that replaces `path` when the block ends, and is deleted when it raises."""
    partial = _hidden_sibling(path, path.stem, f".partial{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write indented JSON atomically.

    Raises:
        ValueError: if a number is NaN or infinite, which JSON does not have.

    """
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of `write_json`.

    Raises:
        BoxlineError: if it is not JSON.
        FileNotFoundError: if there is no such file.

    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BoxlineError(f"{path} is not valid JSON ({error}). Delete it and create it again.") from None
    return content


def _remove(previous: Path) -> None:
    """Delete a folder under another name: under its own, a half-deleted one would be restored as a complete one."""
    waste = previous.with_suffix(".waste")
    shutil.rmtree(waste, ignore_errors=True)
    if previous.exists():
        previous.rename(waste)
        shutil.rmtree(waste, ignore_errors=True)


def _sibling(path: Path, suffix: str) -> Path:
    return _hidden_sibling(path, path.name, f".{suffix}")


def _hidden_sibling(path: Path, name: str, ending: str) -> Path:
    """A hidden path beside `path`. If its name would be too long, a digest of the name of `path` takes its place."""
    hidden = f".{name}{ending}"
    if len(os.fsencode(hidden)) > max_name_bytes(path.parent):
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:DIGEST_DIGITS]
        hidden = f".{digest}{ending[:MAX_ENDING]}"
    return path.with_name(hidden)
