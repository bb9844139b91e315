"""boxline record: keep a run on the branch `runs`."""

import argparse
import sys
from datetime import UTC, datetime

from pipeline.lineage import runs

HELP = "keep this run on the branch `runs`"
DESCRIPTION = (
    "Keep the run whose results dvc.lock names as a commit of the branch `runs`: the code and parameters as they are "
    "in the working tree, dvc.lock, and run.json, which says what ran, when, on which data and with which scores. Your "
    "branch, index and files stay as they are. Untracked files are recorded only where dvc.lock names them."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that `record` takes."""
    parser.add_argument("--started", metavar="TIME", type=_moment, help="when the run began, as 2026-11-21T18:45:02Z")
    parser.add_argument("--flow-run-id", metavar="ID", dest="flow_run", help="of the flow run: recorded once")
    parser.add_argument("--push", metavar="REMOTE", help="also push the branch to that Git remote: origin")


def record(started: datetime | None, flow_run: str | None, push: str | None) -> int:
    """Print branch and commit; return the exit code."""
    recorded = runs.record(started, flow_run)
    if push:
        recorded = runs.push(recorded, push)
    sys.stdout.write(f"runs {recorded}\n")
    return 0


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"received {text!r}, expected a time as 2026-11-21T18:45:02Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
