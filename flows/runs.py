"""Reads the last run that `boxline record` has recorded."""

import json
from pathlib import Path
from typing import Any

from pipeline.core.atomic_files import atomic_write
from pipeline.core.dvc_lock import DVC_LOCK
from pipeline.core.git import read_file
from pipeline.core.recorded_runs import RUN_FILE, RUN_REVISIONS


def restore_lockfile(folder: Path) -> str | None:
    """Write the dvc.lock of the last recorded run, and return its revision; None without a recorded run."""
    for revision in RUN_REVISIONS:
        text = read_file(revision, DVC_LOCK, folder)
        if text is not None:
            with atomic_write(folder / DVC_LOCK) as partial:
                partial.write_text(text, encoding="utf-8")
            return revision
    return None


def last_metrics(folder: Path) -> dict[str, Any]:
    """Return the contents of the metrics files of the last recorded run by path; empty without a recorded run.

    Files that the run's workspace did not have are left out.
    """
    for revision in RUN_REVISIONS:
        text = read_file(revision, RUN_FILE, folder)
        if text is not None:
            metrics = json.loads(text).get("metrics", {})
            contents = {path: entry.get("content") for path, entry in metrics.items()}
            return {path: content for path, content in contents.items() if content is not None}
    return {}
