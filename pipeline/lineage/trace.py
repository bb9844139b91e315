"""Provenance of a file by its content: run, stage, parameters, inputs, and the commands that restore or rebuild it."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.dvc_lock import DVC_LOCK, DvcLock, LockedStage
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.git import GitError, git, read_file, resolve_commit, split_nul
from pipeline.core.recorded_runs import RUN_FILE, RUNS_BRANCH
from pipeline.download.sync import DownloadReport
from pipeline.lineage.run_metadata import PACKAGES, hash_packages, redact
from pipeline.lineage.runs import PUBLISHED_RUNS_REF, RUNS_REF
from pipeline.remote.objects import find_local_file

if TYPE_CHECKING:
    from dvc.repo import Repo

DOWNLOAD_REPORT = "download.json"
"""File name of the output of the stage `download` with the URLs and digests of its files."""


@dataclass(frozen=True)
class Provenance:
    """The state of the project that produced a file: a recorded run or the workspace.

    Attributes:
        commit: the commit of the recorded run; None for the workspace.
        run: the content of run.json, or what is known of it for the workspace.
        lock: dvc.lock of that state.
        earlier_commits: recorded runs before it that produced the same content.

    """

    commit: str | None
    run: dict[str, Any]
    lock: DvcLock
    earlier_commits: list[str]


def find_provenance(md5: str, name: str) -> Provenance:
    """Return the latest recorded run that produced a content, else the workspace.

    Args:
        md5: MD5 of the content.
        name: what error messages call the file.

    Raises:
        BoxlineError: if neither a run nor the workspace produced it.

    """
    commits = _runs_that_produced(md5)
    if commits:
        latest, *earlier = commits
        run = json.loads(read_file(latest, RUN_FILE) or "{}")
        return Provenance(latest, run, _lock_of(latest), earlier)
    if Path(DVC_LOCK).is_file():
        lock = DvcLock.parse(Path(DVC_LOCK).read_text(encoding="utf-8"))
        if lock.producers(md5):
            return Provenance(None, _workspace_run(), lock, [])
    raise BoxlineError(
        f"Neither a run on the branch `{RUNS_BRANCH}` nor the workspace's {DVC_LOCK} has an output with the content of "
        f"{name} (MD5 {md5}). It was changed afterwards, or its run was not recorded here; fetch the runs of others: "
        f"git fetch origin {RUNS_BRANCH}"
    )


def format_provenance(provenance: Provenance, md5: str, repo: "Repo") -> Iterator[str]:
    """Yield the lines of a report: the run, then for each stage that produced the content its inputs and commands."""
    yield from _run_lines(provenance)
    for stage, path in provenance.lock.producers(md5):
        yield ""
        yield f"{path} is an output of the stage {stage.name}"
        yield from _param_lines(stage)
        yield "with the lineage"
        for upstream_stage in provenance.lock.upstream(stage):
            yield from _stage_lines(upstream_stage, provenance, repo)
        yield ""
        yield from _command_lines(provenance, stage.name, path, repo)


def _runs_that_produced(md5: str) -> list[str]:
    """Return the recorded runs with an output of that MD5, the latest first."""
    tip = resolve_commit(RUNS_REF) or resolve_commit(PUBLISHED_RUNS_REF)
    commits = git("rev-list", "--first-parent", tip, "--", RUN_FILE).split() if tip else []
    if not commits:
        return []
    try:
        matches = git("grep", "--files-with-matches", "--fixed-strings", md5, *commits, "--", DVC_LOCK).splitlines()
    except GitError:  # `git grep` fails if nothing matches
        return []
    candidates = [match.partition(":")[0] for match in matches]
    return [commit for commit in candidates if _lock_of(commit).producers(md5)]


def _lock_of(commit: str) -> DvcLock:
    return DvcLock.parse(read_file(commit, DVC_LOCK) or "", f"{DVC_LOCK} of {commit[:7]}")


def _workspace_run() -> dict[str, Any]:
    packages = Path(PACKAGES)
    return {
        "commit": resolve_commit("HEAD"),
        "packages": hash_packages(packages.read_text(encoding="utf-8") if packages.is_file() else None),
    }


def _run_lines(provenance: Provenance) -> Iterator[str]:
    run = provenance.run
    if provenance.commit is None:
        yield "run       not recorded, only in the workspace; `boxline record` records it"
    else:
        flow_run = f", flow run {run['flow_run']}" if run["flow_run"] else ""
        yield f"run       {provenance.commit}, ended {run['ended']}{flow_run}"
    if provenance.earlier_commits:
        earlier = join_items(commit[:7] for commit in provenance.earlier_commits)
        yield f"          identical output in earlier runs: {earlier}"
    if run["commit"]:
        yield f"code      {run['commit']}{_format_uncommitted(run.get('uncommitted', []))}"
    if run.get("python"):
        yield f"python    {run['python']}"
    if run["packages"]:
        yield f"packages  {PACKAGES}, SHA-256 {run['packages']}"


def _format_uncommitted(paths: list[str]) -> str:
    return f" with uncommitted changes of {', '.join(paths)}" if paths else ""


def _param_lines(stage: LockedStage) -> Iterator[str]:
    for file, values in stage.params.items():
        for name, value in values.items():
            yield f"param     {file}: {name} = {json.dumps(redact(value), ensure_ascii=False)}"


def _stage_lines(stage: LockedStage, provenance: Provenance, repo: "Repo") -> Iterator[str]:
    """Yield the outputs and inputs of one stage: a count of the inputs in Git, and the paths of all others."""
    yield f"  {stage.name}"
    for path, md5 in stage.outputs.items():
        yield f"    output  {path} ({md5})"
    inputs = [path for path in provenance.lock.inputs() if path in stage.dependencies]
    committed = _committed_paths(provenance.commit or "HEAD", inputs)
    if committed:
        plural = "s" * (len(committed) > 1)
        yield f"    input   {len(committed)} file{plural} of the {'commit' if provenance.commit else 'workspace'}"
    for path in inputs:
        if path not in committed:
            yield f"    input   {path} ({stage.dependencies[path]}), which is not in Git"
    for path, md5 in stage.outputs.items():
        if path.endswith(f"/{DOWNLOAD_REPORT}"):
            yield from _source_lines(find_local_file(repo, md5, path))


def _committed_paths(commit: str, paths: list[str]) -> set[str]:
    """Return those of the files and folders that are in a commit."""
    if not paths:
        return set()
    return set(split_nul(git("--literal-pathspecs", "ls-tree", "--name-only", "-z", commit, "--", *paths)))


def _source_lines(report: Path | None) -> Iterator[str]:
    """Yield URL, size and digest of each downloaded file, if the report of the download is on this machine."""
    if report is None:
        return
    for path, file in msgspec.json.decode(report.read_bytes(), type=DownloadReport).files.items():
        yield f"    source  {file.origin} ({path}, {file.size_bytes:,} bytes, SHA-256 {file.sha256})"


def _command_lines(provenance: Provenance, stage: str, path: str, repo: "Repo") -> Iterator[str]:
    """Yield the commands that restore and rebuild the file; for a recorded run in a separate folder."""
    if provenance.commit is None:
        yield "To restore it:"
    else:
        folder = f"../run-{provenance.commit[:7]}"
        yield "To restore it in a separate folder:"
        yield f"  git worktree add --detach {folder} {provenance.commit}"
        yield from (f"  {command}" for command in _remote_commands(folder, repo))
        yield f"  cd {folder}"
    yield f"  dvc pull {shlex.quote(path)}"
    yield f"To rebuild it {'there ' if provenance.commit else ''}from the sources:"
    yield f"  dvc repro --force {shlex.quote(stage)}"


def _remote_commands(folder: str, repo: "Repo") -> Iterator[str]:
    """Yield the commands that give another folder access to the remote.

    Git does not track .dvc/config.local, and a relative path of a remote means another place there.
    """
    if Path(".dvc/config.local").is_file():
        yield f"cp .dvc/config.local {folder}/.dvc/"
    remote = repo.config["core"].get("remote")
    url = str(repo.config["remote"].get(remote, {}).get("url", "://"))
    if "://" not in url:
        yield f"dvc --cd {folder} remote modify --local {shlex.quote(remote)} url {shlex.quote(url)}"
