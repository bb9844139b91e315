"""Recorded runs: commits on the branch `runs` with the code, the parameters, dvc.lock and run.json of each run.

The first parent of such a commit is the previous run, the second is the commit that was checked out. The commit is
built in an index of its own, so the user's branch, index and files stay unchanged.
"""

import json
import logging
import os
import platform
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.core.config import PARAMS_FILE
from pipeline.core.dvc_lock import DVC_LOCK, DvcLock
from pipeline.core.dvc_project import open_project, require_lock
from pipeline.core.errors import BoxlineError, NetworkError, join_items
from pipeline.core.git import (
    GitError,
    authorship_env,
    git,
    is_checked_out,
    read_file,
    resolve_commit,
    split_nul,
    write_commit,
)
from pipeline.core.recorded_runs import RUN_FILE, RUNS_BRANCH
from pipeline.lineage.run_metadata import PACKAGES, hash_packages, parse_params, read_metrics

if TYPE_CHECKING:
    from dvc.repo import Repo

logger = logging.getLogger(__name__)

RUNS_REF = f"refs/heads/{RUNS_BRANCH}"
PUBLISHED_RUNS_REF = f"refs/remotes/origin/{RUNS_BRANCH}"
"""The published runs, which a clone has before it records any of its own."""

UPDATE_ATTEMPTS = 20
"""How many other processes may record at the same moment. Git itself waits a little for its locks."""

PUSH_ATTEMPTS = 5
CONCURRENT_PUSH_ERRORS = (
    *("fetch first", "non-fast-forward", "cannot lock ref"),
    *("failed to update ref", "reference already exists"),
)
"""Messages of Git if another push was faster."""


def record(started: datetime | None, flow_run: str | None) -> str:
    """Record the run that dvc.lock in the current folder describes.

    Args:
        started: when the run began, with a time zone.
        flow_run: the id of the flow run. If the last recorded run has that id, nothing is recorded again: the flow
            retries only because its push failed.

    Returns:
        The hash of the commit on `runs`.

    Raises:
        BoxlineError: if there is no Git repository with a commit or no dvc.lock, or `runs` is checked out.

    """
    head = _require_head()
    require_lock()
    if flow_run and (recorded := _last_run_of(flow_run)):
        return recorded
    with open_project() as repo, tempfile.TemporaryDirectory() as folder:
        index_env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        uncommitted = _add_working_tree(index_env)
        run = {
            "commit": head,
            "uncommitted": uncommitted,
            "started": _format_utc(started) if started else None,
            "ended": _format_utc(datetime.now(UTC)),
            "flow_run": flow_run,
            "python": platform.python_version(),
            "packages": hash_packages(read_file("", PACKAGES, env=index_env)),
            **_describe_contents(repo, index_env),
        }
        tree = _write_tree(run, index_env)
    return _append(tree, head, f"Run of {run['ended']} at {head[:7]}\n")


def push(commit: str, remote: str) -> str:
    """Push `runs` to a Git remote. If the remote has other runs, those of this repository are moved on top of them.

    Args:
        commit: the recorded run.
        remote: the name or URL of the remote.

    Returns:
        The hash of the recorded run, which changes if it is moved.

    Raises:
        NetworkError: if the remote cannot be reached.
        BoxlineError: if the push fails for another reason.

    """
    for _ in range(PUSH_ATTEMPTS):
        tip = resolve_commit(RUNS_REF)
        try:
            git("push", "--quiet", remote, f"{tip}:{RUNS_REF}")
            return commit
        except GitError as error:
            failure = error
        if not any(message in str(failure) for message in CONCURRENT_PUSH_ERRORS):
            break
        commit = _move_onto(_fetch_tip(remote), tip or "").get(commit, commit)
    error_class = NetworkError if isinstance(failure, NetworkError) else BoxlineError
    raise error_class(
        f"The run is recorded here as {commit[:7]} on `{RUNS_BRANCH}`, but was not pushed: {failure}. Check "
        f"`git remote -v` and your rights there, then: git push {remote} {RUNS_BRANCH}"
    )


def _require_head() -> str:
    """Return the checked-out commit, which must not be on `runs`."""
    try:
        git("rev-parse", "--git-dir")
    except GitError:
        raise BoxlineError(
            "The current folder is not in a Git repository, and runs are recorded as Git commits. Run this from the "
            "project's root folder; `git init` creates a repository."
        ) from None
    head = resolve_commit("HEAD")
    if head is None:
        raise BoxlineError(
            "The Git repository has no commit that a run could belong to. Create the first one: git add --all && git "
            "commit"
        )
    if is_checked_out(RUNS_REF):
        raise BoxlineError(
            f"The branch `{RUNS_BRANCH}` is checked out, and recording a run must not change a checked-out branch. "
            "Switch to another one: git switch --create NAME"
        )
    return head


def _last_run_of(flow_run: str) -> str | None:
    """Return the last recorded run if it is that of the flow run."""
    tip = resolve_commit(RUNS_REF)
    text = read_file(tip, RUN_FILE) if tip else None
    return tip if text and json.loads(text)["flow_run"] == flow_run else None


def _add_working_tree(index_env: dict[str, str]) -> list[str]:
    """Add tracked files and dependencies of stages to the index.

    The index starts as a copy of the user's, which has added files and the settings of a sparse checkout.

    Returns:
        The tracked files that differ from HEAD, without dvc.lock.

    """
    user_index = Path(git("rev-parse", "--git-path", "index"))
    if user_index.exists():
        shutil.copyfile(user_index, index_env["GIT_INDEX_FILE"])
    else:
        git("read-tree", "HEAD", env=index_env)
    git("add", "--update", env=index_env)
    changed = split_nul(git("diff-index", "--cached", "--name-only", "-z", "HEAD", env=index_env))
    git("add", "--force", "--", DVC_LOCK, env=index_env)
    _add_dependencies(_read_indexed_lock(index_env), index_env)
    return [name for name in changed if name != git("rev-parse", "--show-prefix") + DVC_LOCK]


def _add_dependencies(lock: DvcLock, index_env: dict[str, str]) -> None:
    """Add dvc.yaml and untracked dependencies of stages. No other untracked file: it may hold secrets."""
    wanted = ["dvc.yaml", *(path for path in lock.inputs() if _is_inside_project(path))]
    listing_args = ("ls-files", "--others", "--exclude-standard", "-z", "--", *wanted)
    listed = split_nul(git("--literal-pathspecs", *listing_args, env=index_env))
    untracked = [name for name in listed if not name.endswith("/")]
    if untracked:
        add_args = ("add", "--pathspec-from-file=-", "--pathspec-file-nul")
        git("--literal-pathspecs", *add_args, stdin="\0".join(untracked), env=index_env)
    tracked = set(split_nul(git("ls-files", "-z", env=index_env)))
    ignored = [path for path in wanted if Path(path).is_file() and path not in tracked]
    if ignored:
        logger.warning(
            "Not recorded because .gitignore excludes it: %s. A clone of the run lacks it; track it with `git add "
            "--force`.",
            join_items(ignored),
        )


def _is_inside_project(path: str) -> bool:
    return "://" not in path and not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts


def _describe_contents(repo: "Repo", index_env: dict[str, str]) -> dict[str, Any]:
    """Return parameters, hashes of data, and metrics, read from the index that is recorded."""
    lock = _read_indexed_lock(index_env)
    return {
        "params": parse_params(read_file("", str(PARAMS_FILE), env=index_env)),
        "data": lock.outputs(),
        "metrics": read_metrics(repo, lock),
    }


def _read_indexed_lock(index_env: dict[str, str]) -> DvcLock:
    return DvcLock.parse(read_file("", DVC_LOCK, env=index_env) or "")


def _write_tree(run: dict[str, Any], index_env: dict[str, str]) -> str:
    """Add run.json to the index and return the hash of its tree."""
    text = json.dumps(run, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    blob = git("hash-object", "-w", "--stdin", stdin=text)
    path = git("rev-parse", "--show-prefix") + RUN_FILE
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index_env)
    return git("write-tree", env=index_env)


def _append(tree: str, head: str, message: str) -> str:
    """Append a commit to `runs`, with retries if other processes do so at the same time."""
    for _ in range(UPDATE_ATTEMPTS):
        tip = resolve_commit(RUNS_REF)
        previous = tip or resolve_commit(PUBLISHED_RUNS_REF)
        commit = write_commit(tree, [previous, head] if previous else [head], message)
        try:
            git("update-ref", "-m", "boxline record", RUNS_REF, commit, tip or "")
            return commit
        except GitError as error:
            failure = error
    raise BoxlineError(f"The run could not be added to the branch `{RUNS_BRANCH}` ({failure}). Run it again.")


def _fetch_tip(remote: str) -> str:
    """Fetch the remote's last run through a temporary ref and return its hash."""
    ref = f"refs/boxline/{os.getpid()}"
    git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote, f"+{RUNS_REF}:{ref}")
    try:
        return resolve_commit(ref) or ""
    finally:
        git("update-ref", "-d", ref)


def _move_onto(remote_tip: str, tip: str) -> dict[str, str]:
    """Move the runs that the remote lacks on top of its own.

    Returns:
        The new hash of each moved run by its old one; empty if another process recorded a run meanwhile.

    """
    moved: dict[str, str] = {}
    previous = remote_tip
    for run in git("rev-list", "--first-parent", "--reverse", tip, f"^{remote_tip}", "--", RUN_FILE).split():
        head = json.loads(read_file(run, RUN_FILE) or "")["commit"]
        message = git("show", "--no-patch", "--format=%B", run)
        previous = write_commit(f"{run}^{{tree}}", [previous, head], message, env=authorship_env(run))
        moved[run] = previous
    try:
        git("update-ref", "-m", "boxline record", RUNS_REF, previous, tip)
    except GitError:  # the next attempt includes that run
        return {}
    return moved


def _format_utc(moment: datetime) -> str:
    """Format a time to the second, as in 2026-11-21T18:45:02Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
