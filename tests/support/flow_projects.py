"""Small DVC projects for tests of flows, and commands in them."""

import sys
from pathlib import Path

from dvc.repo import Repo

from flows.processes import CommandResult, CommandRunner

DVC = Path(sys.executable).with_name("dvc")


def make_project(folder: Path, dvc_yaml: str) -> Path:
    """Create a DVC project without Git."""
    Repo.init(str(folder), no_scm=True).close()
    (folder / "dvc.yaml").write_text(dvc_yaml)
    return folder


def run_in(folder: Path, *argv: str | Path, timeout_seconds: float = 60, **env: str) -> CommandResult:
    """Run a command as a flow does."""
    log_file = folder / "logs" / "command.log"
    env = {"DVC_NO_ANALYTICS": "1", **env}
    return CommandRunner().run(argv, folder, log_file, lambda _: None, timeout_seconds, env)
