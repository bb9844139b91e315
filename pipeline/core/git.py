"""Git's plumbing, as processes: nothing here touches a branch that is checked out, the index or the working tree."""

import os
import re
import subprocess
from typing import NamedTuple

from pipeline.core.errors import BoxlineError, NetworkError
from pipeline.core.redaction import redact_message

IDENTITY = {
    "GIT_AUTHOR_NAME": "Boxline",
    "GIT_AUTHOR_EMAIL": "boxline@localhost",
    "GIT_COMMITTER_NAME": "Boxline",
    "GIT_COMMITTER_EMAIL": "boxline@localhost",
}
"""Who commits where Git knows nobody, as in a container."""


OUT_OF_REACH = re.compile(
    r"Could not resolve host|Failed to connect|Connection (?:refused|reset|closed|timed out)|Operation timed out"
    r"|Network is unreachable|No route to host|Name or service not known|Temporary failure in name resolution"
    r"|hung up unexpectedly|unexpected disconnect|early EOF|RPC failed|Empty reply|returned error: (?:429|5\d\d)"
)
"""What Git, curl and ssh say where a server or the way to it failed, and nobody refused anything."""


class GitError(BoxlineError):
    """Git did not do it. The message holds Git's own words."""


class GitNetworkError(GitError, NetworkError):
    """Git did not reach a server."""


def git(*words: str, content: str = "", **variables: str) -> str:
    """What Git prints, without the end of the last line. `content` is its input, `variables` its environment's."""
    return run_git(*words, content=content, **variables).rstrip("\n")


def run_git(*words: str, content: str = "", **variables: str) -> str:
    """What Git prints, to the byte. Raises GitError where it ends with an error."""
    environment = {**os.environ, "LC_ALL": "C", **variables}
    try:
        result = subprocess.run(
            ["git", *words], input=os.fsencode(content), check=False, capture_output=True, env=environment
        )
    except FileNotFoundError:
        raise BoxlineError("There is no git on PATH. Runs are kept as its commits; install it.") from None
    if result.returncode:
        said = " ".join(os.fsdecode(result.stderr or result.stdout).split())
        kind = GitNetworkError if OUT_OF_REACH.search(said) else GitError
        raise kind(f"`git {' '.join(words[:1])}` failed: {redact_message(said).rstrip('.')}")
    return os.fsdecode(result.stdout)


def resolve(name: str) -> str | None:
    """The commit of that name, if there is one."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except GitError:
        return None


def names(text: str) -> list[str]:
    """What Git prints with -z."""
    return [name for name in text.split("\0") if name]


def file_at(name: str, path: str, **variables: str) -> str | None:
    """The content of a file, by its path from the current folder, at a commit; in the index where that is ""."""
    try:
        return run_git("cat-file", "blob", f"{name}:./{path}", **variables)
    except GitError:
        return None


def is_checked_out(branch: str) -> bool:
    """Here, or in another working tree of this repository."""
    return f"branch {branch}" in git("worktree", "list", "--porcelain").splitlines()


class Commit(NamedTuple):
    """What `commit` writes down."""

    tree: str
    parents: list[str]
    message: str


def commit(new: Commit, **variables: str) -> str:
    """Write a commit that no branch knows yet; `variables` may say who and when."""
    parents = [word for parent in dict.fromkeys(new.parents) for word in ("-p", parent)]
    known = IDENTITY if not _has_identity() else {}
    return git("commit-tree", new.tree, *parents, content=new.message, **{**known, **variables})


def authorship_env(name: str) -> dict[str, str]:
    """Who wrote a commit and when, for another one in its place."""
    found = git("show", "--no-patch", "--format=%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI", name).split("\0")
    keys = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL", "DATE")]
    return dict(zip(keys, found, strict=True))


def _has_identity() -> bool:
    """Somebody said who commits; what Git makes up of a machine's name does not count."""
    try:
        git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")
        git("-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
    except GitError:
        return False
    return True
