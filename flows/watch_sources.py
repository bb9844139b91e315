"""Watches the sources of datasets, which DVC cannot: a changed one is downloaded, and what depends on it follows."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import State, flow
from prefect.states import Completed, Failed

from flows.graph import UnknownTargetError, stages_of
from flows.hooks import notify
from flows.pipeline import pipeline


@flow(name="upstream", on_failure=[notify], on_crashed=[notify])
def upstream(
    targets: list[str] = [],  # noqa: B006  # a list is what Prefect's form shows
    git_remote: str | None = None,
) -> State[Any]:
    """Ask every source whether it has changed, and run the pipeline with new downloads where one has.

    Args:
        targets: what to bring up to date then, as for `pipeline`; none stands for all.
        git_remote: where the branch of recorded runs is pushed to, as for `pipeline`.

    """
    asked = subprocess.run(
        [Path(sys.executable).with_name("boxline"), "outdated"], check=False, capture_output=True, text=True
    )
    if asked.returncode:
        return Failed(message=asked.stderr.strip())
    changed = asked.stdout.split()
    if not changed:
        return Completed(name="Skipped", message="Skipped: no source has changed.")
    try:
        downloads = downloads_of(changed, Path.cwd(), targets)
    except UnknownTargetError as error:
        return Failed(message=str(error))
    if not downloads:
        said = f"Skipped: the targets need none of the sources that have changed: {', '.join(changed)}."
        return Completed(name="Skipped", message=said)
    state: State[Any] = pipeline(targets=targets, force=downloads, git_remote=git_remote, return_state=True)
    return state


def downloads_of(datasets: Sequence[str], folder: Path, targets: Sequence[str]) -> list[str]:
    """The stages that download those datasets, as far as the targets need them; all where there are no targets."""
    downloads = [f"download@{dataset}" for dataset in datasets]
    needed = stages_of(folder, targets) if targets else downloads
    return [stage for stage in downloads if stage in needed]
