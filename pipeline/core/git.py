"""Git commands in a subprocess. None of them changes a checked-out branch or the working tree.

The index stays as it is, too, if `env` names another one (GIT_INDEX_FILE).
"""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.core.errors import BoxlineError, NetworkError
from pipeline.core.redaction import redact_message

DEFAULT_IDENTITY = {
    "GIT_AUTHOR_NAME": "Boxline",
    "GIT_AUTHOR_EMAIL": "boxline@localhost",
    "GIT_COMMITTER_NAME": "Boxline",
    "GIT_COMMITTER_EMAIL": "boxline@localhost",
}
"""Author and committer if none are configured, as in a container."""

NETWORK_ERROR = re.compile(
    r"Could not resolve host|Failed to connect|Connection (?:refused|reset|closed|timed out)|Operation timed out"
    r"|Network is unreachable|No route to host|Name or service not known|Temporary failure in name resolution"
    r"|hung up unexpectedly|unexpected disconnect|early EOF|RPC failed|Empty reply|returned error: (?:429|5\d\d)"
)
"""Messages of Git, curl and ssh for a failed server or connection, as opposed to a rejected request."""


class GitError(BoxlineError):
    """A Git command failed. The message contains Git's own."""


class GitNetworkError(GitError, NetworkError):
    """A Git command did not reach a server."""


def git(*args: str, folder: Path | None = None, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """Run a Git command.

    Args:
        *args: the command and its arguments.
        folder: working directory of the command; the current folder if None.
        stdin: text for its standard input.
        env: environment variables in addition to those of this process.

    Returns:
        Its standard output without trailing newlines.

    Raises:
        GitError: if it exits with an error.
        GitNetworkError: if the reason is the network or a server.
        BoxlineError: if Git is not installed.

    """
    return os.fsdecode(_run_git(*args, folder=folder, stdin=stdin, env=env)).rstrip("\n")


def resolve_commit(revision: str, folder: Path | None = None) -> str | None:
    """Return the full hash of a revision's commit, or None if there is no such revision."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", folder=folder)
    except GitError:
        return None


def short_commit(folder: Path | None = None) -> str | None:
    """Return the abbreviated hash of the checked-out commit, or None outside of a repository with commits."""
    try:
        return git("rev-parse", "--short", "HEAD", folder=folder)
    except GitError:
        return None


def read_file(revision: str, path: str, folder: Path | None = None, env: Mapping[str, str] | None = None) -> str | None:
    """Return the exact content of a file at a revision, as UTF-8 under any locale, or None if either is missing.

    Args:
        revision: a commit, branch or tag; the empty string stands for the index.
        path: relative to `folder`, with forward slashes.
        folder: working directory of the command; the current folder if None.
        env: environment variables in addition to those of this process.

    """
    try:
        content = _run_git("cat-file", "blob", f"{revision}:./{path}", folder=folder, env=env)
    except GitError:
        return None
    return content.decode("utf-8", "surrogateescape")


def split_nul(output: str) -> list[str]:
    """Return the names in the output of a Git command with -z."""
    return [name for name in output.split("\0") if name]


def is_checked_out(branch: str) -> bool:
    """Return whether a branch (its full ref) is checked out in any working tree of the repository."""
    return f"branch {branch}" in git("worktree", "list", "--porcelain").splitlines()


def write_commit(tree: str, parents: Sequence[str], message: str, env: Mapping[str, str] | None = None) -> str:
    """Write a commit without moving any branch and return its hash.

    Args:
        tree: the hash or revision of its tree.
        parents: its parents in order; repeated ones are dropped.
        message: the commit message.
        env: environment variables, which may name author, committer and dates.

    """
    parent_args = [arg for parent in dict.fromkeys(parents) for arg in ("-p", parent)]
    identity = {} if _has_identity() else DEFAULT_IDENTITY
    return git("commit-tree", tree, *parent_args, stdin=message, env={**identity, **(env or {})})


def authorship_env(commit: str) -> dict[str, str]:
    """Return the environment variables that give a new commit the authors and dates of an existing one."""
    values = git("show", "--no-patch", "--format=%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI", commit).split("\0")
    keys = [f"GIT_{role}_{field}" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL", "DATE")]
    return dict(zip(keys, values, strict=True))


def _run_git(*args: str, folder: Path | None, stdin: str = "", env: Mapping[str, str] | None) -> bytes:
    try:
        result = subprocess.run(
            ["git", *args],
            cwd=folder,
            input=os.fsencode(stdin),
            check=False,
            capture_output=True,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
        )
    except FileNotFoundError:
        raise BoxlineError("There is no git on PATH. Runs are recorded as Git commits; install Git.") from None
    if result.returncode:
        message = " ".join(os.fsdecode(result.stderr or result.stdout).split())
        error = GitNetworkError if NETWORK_ERROR.search(message) else GitError
        raise error(f"`git {' '.join(args[:1])}` failed: {redact_message(message).rstrip('.')}")
    return bytes(result.stdout)


def _has_identity() -> bool:
    """Return whether an identity is configured; one that Git derives from the host name does not count."""
    try:
        git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")
        git("-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    except GitError:
        return False
    return True
