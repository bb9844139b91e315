"""Runs as commits of the branch `runs`: their code, parameters and dvc.lock, and run.json.

The first parent of such a commit is the run before it, the second the commit that was checked out. It is made with an
index of its own, so that the user's branch, index and files stay as they are.
"""

import json
import logging
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.core.dvc_lock import LOCK, Lock
from pipeline.core.errors import BoxlineError, NetworkError, join_items
from pipeline.core.git import Commit, GitError, authorship_env, commit, file_at, git, is_checked_out, names, resolve
from pipeline.lineage import run_metadata as account
from pipeline.lineage.run_metadata import PACKAGES, PARAMS, RUN
from pipeline.remote.audit import open_project, require_lock

if TYPE_CHECKING:
    from dvc.repo import Repo

logger = logging.getLogger(__name__)

RUNS = "refs/heads/runs"
PUBLISHED = "refs/remotes/origin/runs"
"""What a clone knows of the runs before it has any of its own."""

TRIES = 20
"""As many others may record at the same moment. Git itself waits a little for its locks."""

PUSHES = 5
REFUSALS = ("fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "reference already exists")
"""What Git says when somebody else was faster."""


def record(started: datetime | None, flow_run: str | None) -> str:
    """Record the run whose dvc.lock is in the current folder; return the commit.

    A flow run that the last commit is of already is not recorded twice: it asks again where only its push has failed.
    Raises BoxlineError where there is no Git repository with a commit, no dvc.lock, or `runs` is checked out.
    """
    head = _require_head()
    require_lock()
    if flow_run and (known := _last_of(flow_run)):
        return known
    with open_project() as repo, tempfile.TemporaryDirectory() as folder:
        variables = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        uncommitted = _add_working_state(variables)
        run = {
            "commit": head,
            "uncommitted": uncommitted,
            "started": _in_utc(started) if started else None,
            "ended": _in_utc(datetime.now(UTC)),
            "flow_run": flow_run,
            "python": account.python_version(),
            "packages": account.packages_of(_file_in_index(PACKAGES, variables)),
            **_contents(repo, variables),
        }
        tree = _tree_with_run(run, variables)
    return _append(tree, head, f"Run of {run['ended']} at {head[:7]}\n")


def push(recorded: str, remote: str) -> str:
    """Push `runs` to a Git remote; return the recorded commit, which is another one where it had to be moved.

    Where the remote has runs that are not here, those of this repository go on top of them.
    """
    for _ in range(PUSHES):
        tip = resolve(RUNS)
        try:
            git("push", "--quiet", remote, f"{tip}:{RUNS}")
            return recorded
        except GitError as error:
            refusal = error
        if not any(words in str(refusal) for words in REFUSALS):
            break
        recorded = _move_onto(_fetched(remote), tip or "").get(recorded, recorded)
    kind = NetworkError if isinstance(refusal, NetworkError) else BoxlineError
    raise kind(
        f"The run is recorded here as {recorded[:7]} on `runs`, but was not pushed: {refusal}. Check `git remote -v` "
        f"and your rights there, then: git push {remote} runs"
    )


def _require_head() -> str:
    try:
        git("rev-parse", "--git-dir")
    except GitError:
        raise BoxlineError(
            "The current folder is in no Git repository, and runs are recorded as its commits. Run this from the "
            "project's root folder; `git init` makes one."
        ) from None
    head = resolve("HEAD")
    if head is None:
        raise BoxlineError(
            "The Git repository has no commit, so there is nothing that a run could belong to. Make the first one: "
            "git add --all && git commit"
        )
    if is_checked_out(RUNS):
        raise BoxlineError(
            "The branch `runs` is checked out, and a run is recorded without touching what is checked out. Work on "
            "another branch: git switch --create NAME"
        )
    return head


def _last_of(flow_run: str) -> str | None:
    """The last recorded run, if it is that one."""
    tip = resolve(RUNS)
    text = file_at(tip, RUN) if tip else None
    return tip if text and json.loads(text)["flow_run"] == flow_run else None


def _add_working_state(variables: dict[str, str]) -> list[str]:
    """Fill the index with what ran; return the tracked files that differ from HEAD, dvc.lock aside.

    It begins as a copy of the user's, which knows what was added and what a sparse checkout leaves out.
    """
    users = Path(git("rev-parse", "--git-path", "index"))
    if users.exists():
        shutil.copyfile(users, variables["GIT_INDEX_FILE"])
    else:
        git("read-tree", "HEAD", **variables)
    git("add", "--update", **variables)
    differing = names(git("diff-index", "--cached", "--name-only", "-z", "HEAD", **variables))
    git("add", "--force", "--", LOCK, **variables)
    _add_dependencies(Lock(_file_in_index(LOCK, variables) or "", LOCK), variables)
    return [name for name in differing if name != git("rev-parse", "--show-prefix") + LOCK]


def _add_dependencies(lock: Lock, variables: dict[str, str]) -> None:
    """Add what stages read and Git does not track, and what says so; nothing else, since it may be a secret."""
    wanted = ["dvc.yaml", *(name for name in lock.inputs() if _is_inside(name))]
    listing = ("ls-files", "--others", "--exclude-standard", "-z", "--", *wanted)
    found = [name for name in names(git("--literal-pathspecs", *listing, **variables)) if not name.endswith("/")]
    if found:
        words = ("add", "--pathspec-from-file=-", "--pathspec-file-nul")
        git("--literal-pathspecs", *words, content="\0".join(found), **variables)
    tracked = set(names(git("ls-files", "-z", **variables)))
    left_out = [name for name in wanted if Path(name).is_file() and name not in tracked]
    if left_out:
        logger.warning(
            "Not recorded, since .gitignore excludes it: %s. A clone of the run lacks it; `git add --force` tracks it.",
            join_items(left_out),
        )


def _is_inside(name: str) -> bool:
    return "://" not in name and not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts


def _contents(repo: "Repo", variables: dict[str, str]) -> dict[str, Any]:
    """Parameters, hashes of data, and metrics, from what is recorded."""
    lock = Lock(_file_in_index(LOCK, variables) or "", LOCK)
    return {
        "params": account.params_of(_file_in_index(PARAMS, variables)),
        "data": lock.outputs(),
        "metrics": account.metrics_of(repo, lock),
    }


def _file_in_index(path: str, variables: dict[str, str]) -> str | None:
    return file_at("", path, **variables)


def _tree_with_run(run: dict[str, Any], variables: dict[str, str]) -> str:
    text = json.dumps(run, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    blob = git("hash-object", "-w", "--stdin", content=text)
    place = git("rev-parse", "--show-prefix") + RUN
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},{place}", **variables)
    return git("write-tree", **variables)


def _append(tree: str, head: str, message: str) -> str:
    """Put a commit on top of `runs`, whoever else does so at the same time."""
    for _ in range(TRIES):
        tip = resolve(RUNS)
        before = tip or resolve(PUBLISHED)
        new = commit(Commit(tree, [before, head] if before else [head], message))
        try:
            git("update-ref", "-m", "boxline record", RUNS, new, tip or "")
            return new
        except GitError as error:
            refusal = error
    raise BoxlineError(f"The run could not be put on the branch `runs` ({refusal}). Run it again.")


def _fetched(remote: str) -> str:
    """The remote's last run, by a name that is taken away again."""
    name = f"refs/boxline/{os.getpid()}"
    git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote, f"+{RUNS}:{name}")
    try:
        return resolve(name) or ""
    finally:
        git("update-ref", "-d", name)


def _move_onto(theirs: str, tip: str) -> dict[str, str]:
    """Put the runs that only `runs` here has on top of the remote's; return what became of each."""
    moved: dict[str, str] = {}
    before = theirs
    for own in git("rev-list", "--first-parent", "--reverse", tip, f"^{theirs}", "--", RUN).split():
        head = json.loads(file_at(own, RUN) or "")["commit"]
        message = git("show", "--no-patch", "--format=%B", own)
        before = commit(Commit(f"{own}^{{tree}}", [before, head], message), **authorship_env(own))
        moved[own] = before
    try:
        git("update-ref", "-m", "boxline record", RUNS, before, tip)
    except GitError:  # somebody records at this moment: the next try begins with that
        return {}
    return moved


def _in_utc(moment: datetime) -> str:
    """To the second, as in 2026-11-21T18:45:02Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
