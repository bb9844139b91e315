"""From the content of a file back to what made it: run, stage, parameters, data, and the commands to have it back."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.dvc_lock import LOCK, Lock, LockedStage
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.git import GitError, file_at, git, names, resolve
from pipeline.download.sync import Report
from pipeline.lineage import run_metadata as account
from pipeline.lineage.run_metadata import PACKAGES, RUN, cleaned
from pipeline.lineage.runs import PUBLISHED, RUNS
from pipeline.remote.local_content import Contents

if TYPE_CHECKING:
    from dvc.repo import Repo

DOWNLOADED = "download.json"
"""Name of the report of a download, which is an output of the stage: addresses and digests of the sources."""


@dataclass(frozen=True)
class Made:
    """A state of the project whose dvc.lock names the content: a recorded run, or the workspace, which has no commit.

    earlier: runs before it that name the same content.
    """

    commit: str | None
    run: dict[str, Any]
    lock: Lock
    earlier: list[str]


def find(md5: str, shown: str) -> Made:
    """The latest run that names that content, else the workspace. Raises BoxlineError where nothing does."""
    runs = _runs_with(md5)
    if runs:
        latest, *earlier = runs
        where = f"{LOCK} of {latest[:7]}"
        run = json.loads(file_at(latest, RUN) or "{}")
        return Made(latest, run, Lock(file_at(latest, LOCK) or "", where), earlier)
    if Path(LOCK).is_file():
        lock = Lock(Path(LOCK).read_text(encoding="utf-8"), LOCK)
        if lock.makers(md5):
            return Made(None, _workspace(), lock, [])
    raise BoxlineError(
        f"No run on the branch `runs` and no stage of the workspace's {LOCK} made {shown} (MD5 {md5}). It was changed "
        "since, or its run was not recorded; where others recorded it, fetch theirs: git fetch origin runs"
    )


def told(made: Made, md5: str, repo: "Repo") -> Iterator[str]:
    """All that is known, line by line."""
    yield from _run_lines(made)
    for stage, path in made.lock.makers(md5):
        yield ""
        yield f"{path} was made by the stage {stage.name}"
        yield from _param_lines(stage)
        yield "from"
        for link in made.lock.upstream(stage):
            yield from _link_lines(link, made, Contents(repo))
        yield ""
        yield from _commands(made, stage.name, path, repo)


def _runs_with(md5: str) -> list[str]:
    """The runs whose dvc.lock holds that hash, the latest first."""
    tip = resolve(RUNS) or resolve(PUBLISHED)
    commits = git("rev-list", "--first-parent", tip, "--", RUN).split() if tip else []
    if not commits:
        return []
    try:
        found = git("grep", "--files-with-matches", "--fixed-strings", md5, *commits, "--", LOCK).splitlines()
    except GitError:  # Git's way to say that there is none
        return []
    matching = [line.partition(":")[0] for line in found]
    return [name for name in matching if Lock(file_at(name, LOCK) or "", f"{LOCK} of {name[:7]}").makers(md5)]


def _workspace() -> dict[str, Any]:
    packages = Path(PACKAGES)
    return {
        "commit": resolve("HEAD"),
        "packages": account.packages_of(packages.read_text(encoding="utf-8") if packages.is_file() else None),
    }


def _run_lines(made: Made) -> Iterator[str]:
    run = made.run
    if made.commit is None:
        yield "run       not recorded: the workspace's own; `boxline record` records it"
    else:
        flow_run = f", flow run {run['flow_run']}" if run["flow_run"] else ""
        yield f"run       {made.commit}, ended {run['ended']}{flow_run}"
    if made.earlier:
        yield f"          the same came out of {join_items(name[:7] for name in made.earlier)} before"
    if run["commit"]:
        yield f"code      {run['commit']}{_uncommitted(run.get('uncommitted', []))}"
    if run.get("python"):
        yield f"python    {run['python']}"
    if run["packages"]:
        yield f"packages  {PACKAGES}, SHA-256 {run['packages']}"


def _uncommitted(paths: list[str]) -> str:
    return f", and uncommitted changes of {', '.join(paths)}" if paths else ""


def _param_lines(stage: LockedStage) -> Iterator[str]:
    for file, values in stage.params.items():
        for name, value in values.items():
            yield f"with      {file}: {name} = {json.dumps(cleaned(value), ensure_ascii=False)}"


def _link_lines(stage: LockedStage, made: Made, contents: Contents) -> Iterator[str]:
    """A stage of the chain. What it read of the commit is counted, what is nowhere but on some disk is named."""
    yield f"  {stage.name}"
    for path, md5 in stage.outputs.items():
        yield f"    made  {path} ({md5})"
    inputs = [name for name in made.lock.inputs() if name in stage.dependencies]
    kept = _kept(made.commit or "HEAD", inputs)
    if kept:
        yield f"    read  {len(kept)} file{'s' * (len(kept) > 1)} of the {'commit' if made.commit else 'workspace'}"
    for path in inputs:
        if path not in kept:
            yield f"    read  {path} ({stage.dependencies[path]}), which is not in Git"
    for path, md5 in stage.outputs.items():
        if path.endswith(f"/{DOWNLOADED}"):
            yield from _source_lines(contents.find(md5, path))


def _kept(commit: str, paths: list[str]) -> set[str]:
    """Those of the files and folders that a commit has."""
    return (
        set(names(git("--literal-pathspecs", "ls-tree", "--name-only", "-z", commit, "--", *paths))) if paths else set()
    )


def _source_lines(report: Path | None) -> Iterator[str]:
    """Addresses and digests of what a download brought, where its report is on this machine."""
    if report is None:
        return
    for path, file in msgspec.json.decode(report.read_bytes(), type=Report).files.items():
        yield f"    from  {file.origin} ({path}, {file.size_bytes:,} bytes, SHA-256 {file.sha256})"


def _commands(made: Made, stage: str, path: str, repo: "Repo") -> Iterator[str]:
    """What to type. A recorded run gets a folder of its own, so that the workspace stays as it is."""
    if made.commit is None:
        yield "To have it back:"
    else:
        folder = f"../run-{made.commit[:7]}"
        yield "To have it back, in a folder of its own:"
        yield f"  git worktree add --detach {folder} {made.commit}"
        yield from (f"  {line}" for line in _settings(folder, repo))
        yield f"  cd {folder}"
    yield f"  dvc pull {shlex.quote(path)}"
    yield "To build it again there, from the sources:" if made.commit else "To build it again, from the sources:"
    yield f"  dvc repro --force {shlex.quote(stage)}"


def _settings(folder: str, repo: "Repo") -> Iterator[str]:
    """Another folder lacks what Git does not keep of DVC's settings, and there a relative path means another place."""
    if Path(".dvc/config.local").is_file():
        yield f"cp .dvc/config.local {folder}/.dvc/"
    remote = repo.config["core"].get("remote")
    address = str(repo.config["remote"].get(remote, {}).get("url", "://"))
    if "://" not in address:
        yield f"dvc --cd {folder} remote modify --local {shlex.quote(remote)} url {shlex.quote(address)}"
