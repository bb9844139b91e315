"""Watches the sources of datasets, which DVC cannot: a changed one is downloaded, and what depends on it follows."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect import State, flow
from prefect.states import Completed, Failed

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
    datasets = asked.stdout.split()
    if not datasets:
        return Completed(name="Skipped", message="Skipped: no source has changed.")
    state: State[Any] = pipeline(
        targets=targets,
        force=[f"download@{dataset}" for dataset in datasets],
        git_remote=git_remote,
        return_state=True,
    )
    return state
