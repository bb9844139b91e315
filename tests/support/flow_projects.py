"""Small DVC projects for tests of flows, and commands run in them as flows run them."""

import sys
from pathlib import Path

from dvc.repo import Repo

from flows.processes import Commands, Ended

DVC = Path(sys.executable).with_name("dvc")


def make_project(folder: Path, dvc_yaml: str) -> Path:
    """A DVC project without Git, whose stages are `dvc_yaml`."""
    Repo.init(str(folder), no_scm=True).close()
    (folder / "dvc.yaml").write_text(dvc_yaml)
    return folder


def run_in(folder: Path, *words: str | Path, timeout_seconds: float = 60, **variables: str) -> Ended:
    """A command as a flow runs it."""
    quiet = {"DVC_NO_ANALYTICS": "1", **variables}
    return Commands().run(words, folder, folder / "logs" / "command.log", lambda _: None, timeout_seconds, quiet)
