"""The branch of recorded runs, as `boxline record` writes it."""

import json
import subprocess
from pathlib import Path
from typing import Any

from flows.workspace import write_whole

BRANCH = "runs"
RECORD = "run.json"


def adopt_lock(folder: Path, lock: Path) -> str | None:
    """Give a workspace without dvc.lock that of the last recorded run; return which one. None where there is none."""
    for revision in (BRANCH, f"origin/{BRANCH}"):
        text = _file_of(folder, revision, lock.name)
        if text is not None:
            write_whole(lock, text)
            return revision
    return None


def last_metrics(folder: Path) -> dict[str, Any]:
    """The metrics of the last recorded run by path, but for those whose file it did not have; empty without a run."""
    for revision in (BRANCH, f"origin/{BRANCH}"):
        text = _file_of(folder, revision, RECORD)
        if text is not None:
            metrics = json.loads(text).get("metrics", {})
            contents = {path: entry.get("content") for path, entry in metrics.items()}
            return {path: content for path, content in contents.items() if content is not None}
    return {}


def commit_of(folder: Path) -> str | None:
    """The short name of the commit that is checked out; None outside of a Git repository."""
    return _git(folder, "rev-parse", "--short", "HEAD")


def _file_of(folder: Path, revision: str, name: str) -> str | None:
    text = _git(folder, "show", f"{revision}:./{name}")
    return None if text is None else text + "\n"


def _git(folder: Path, *words: str) -> str | None:
    result = subprocess.run(["git", *words], cwd=folder, check=False, capture_output=True, text=True)
    return result.stdout.rstrip("\n") if result.returncode == 0 else None
