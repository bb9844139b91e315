"""boxline record: a commit of the branch `runs` for a run."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import CoercionError, Parameter, Token

from pipeline.lineage import runs


def _parse_time(_: Any, tokens: Sequence[Token]) -> datetime:
    """ISO 8601; UTC without an offset."""
    try:
        time = datetime.fromisoformat(tokens[0].value)
    except ValueError:
        message = f"--started: received {tokens[0].value!r}, expected a time such as 2026-11-21T18:45:02Z."
        raise CoercionError(message) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def record(
    *,
    started: Annotated[datetime | None, Parameter(converter=_parse_time, n_tokens=1)] = None,
    flow_run_id: str | None = None,
    push: str | None = None,
) -> int:
    """Record the run whose results are in dvc.lock, as a commit of the branch `runs`.

    The commit holds code and parameters of the working tree, dvc.lock, and run.json with what ran, when, on which data
    and with which scores. Your branch, index and files stay unchanged. Untracked files are recorded only if dvc.lock
    names them.

    Args:
        started: when the run started, such as 2026-11-21T18:45:02Z.
        flow_run_id: of the flow run, which is recorded only once.
        push: also push the branch to this Git remote, such as origin.

    """
    commit = runs.record(started, flow_run_id)
    if push:
        commit = runs.push(commit, push)
    sys.stdout.write(f"runs {commit}\n")
    return 0
