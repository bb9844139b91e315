"""The flow `watch_sources`: reruns the pipeline for datasets whose source has changed, which DVC cannot detect."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import State, flow
from prefect.states import Completed, Failed

from flows.graph import plan_stages
from flows.notifications import notify
from flows.parameters import Text, check_parameters, require_remotes, require_stages
from flows.run_pipeline import run_pipeline
from pipeline.core.errors import BoxlineError


@flow(name="watch_sources", on_failure=[notify], on_crashed=[notify], validate_parameters=False)
@check_parameters
def watch_sources(targets: Sequence[Text] = (), git_remote: Text | None = None) -> State[Any]:
    """Check every dataset's source for changes, and run the pipeline with new downloads of the changed ones.

    Args:
        targets: stages to bring up to date, as for the flow `pipeline`; empty for all.
        git_remote: the Git remote for the branch of recorded runs, as for the flow `pipeline`.

    """
    try:
        require_stages(Path.cwd(), "targets", targets)
        require_remotes(Path.cwd(), None, git_remote)
    except BoxlineError as error:
        return Failed(message=str(error))
    outdated = subprocess.run(
        [Path(sys.executable).with_name("boxline"), "outdated"],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    if outdated.returncode:
        return Failed(message=outdated.stderr.strip())
    changed = outdated.stdout.split()
    if not changed:
        return Completed(name="Skipped", message="Skipped: no source has changed.")
    downloads = required_downloads(changed, Path.cwd(), targets)
    if not downloads:
        message = f"Skipped: no target depends on the sources that have changed: {', '.join(changed)}."
        return Completed(name="Skipped", message=message)
    state: State[Any] = run_pipeline(targets=targets, force=downloads, git_remote=git_remote, return_state=True)
    return state


def required_downloads(datasets: Sequence[str], folder: Path, targets: Sequence[str]) -> list[str]:
    """Return the stages that download the datasets, without those that no target depends on.

    Args:
        datasets: names of datasets.
        folder: the project.
        targets: stages, as for the flow `pipeline`; all downloads are required if empty.

    """
    downloads = [f"download@{dataset}" for dataset in datasets]
    required = plan_stages(folder, targets) if targets else downloads
    return [stage for stage in downloads if stage in required]
