"""Recorded runs: their content, what recording leaves unchanged, and concurrent recording and pushing."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from pipeline.cli.record import record
from pipeline.core.errors import BoxlineError, NetworkError
from tests.support.recorded_project import DRAW, METRICS, PARAMS, TOTAL, boxline, git
from tests.support.servers import free_port

pytestmark = pytest.mark.slow

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def project(project: Path) -> Path:
    git(project, "commit", "--quiet", "--all", "--message", "remote")
    return project


def run_record(
    captured: Captured, started: datetime | None = None, flow: str | None = None, push: str | None = None
) -> str:
    """Return the printed commit."""
    assert record(started=started, flow_run_id=flow, push=push) == 0
    branch, commit = captured.readouterr().out.split()
    assert branch == "runs"
    return str(commit)


def record_error() -> str:
    with pytest.raises(BoxlineError) as raised:
        record()
    return str(raised.value)


def files(project: Path, commit: str) -> set[str]:
    return set(git(project, "ls-tree", "-r", "--name-only", commit).splitlines())


def parents(project: Path, commit: str) -> list[str]:
    return git(project, "rev-parse", f"{commit}^@").split()


TRACKED = {".dvc/.gitignore", ".dvc/config", ".dvcignore", "dvc.yaml", "make.py", "params.yaml", "requirements.lock"}


def test_recorded_run_has_complete_metadata(project: Path, capsys: Captured) -> None:
    head = git(project, "rev-parse", "HEAD")
    commit = run_record(capsys, datetime.fromisoformat("2026-11-21T20:00:00+02:00"), "flow-7")
    assert git(project, "rev-parse", "runs") == commit
    assert parents(project, commit) == [head]
    assert files(project, commit) == TRACKED | {"dvc.lock", "run.json"}
    run = json.loads(git(project, "show", f"{commit}:run.json"))
    ended = run.pop("ended")
    assert datetime.fromisoformat(ended).tzinfo is not None
    assert list(run.items()) == [
        ("commit", head),
        ("uncommitted", []),
        ("started", "2026-11-21T18:00:00Z"),
        ("flow_run", "flow-7"),
        ("python", platform.python_version()),
        ("packages", hashlib.sha256(b"dvc==3.67.1\n").hexdigest()),
        ("params", {"count": 3, "weight": 10, "source": "https://example.org/numbers"}),
        ("data", {"data/draw": DRAW, "reports/metrics.json": METRICS, "data/total.txt": TOTAL}),
        ("metrics", {"reports/metrics.json": {"md5": METRICS, "content": {"weighted_bytes": 540}}}),
    ]
    assert git(project, "show", f"{commit}:params.yaml") + "\n" == PARAMS  # unredacted, as in the working tree
    assert git(project, "show", "--no-patch", "--format=%s", commit) == f"Run of {ended} at {head[:7]}"


def test_parents_are_previous_run_and_checked_out_commit(project: Path, capsys: Captured) -> None:
    first = run_record(capsys)
    git(project, "commit", "--quiet", "--allow-empty", "--message", "later")
    second = run_record(capsys)
    assert parents(project, second) == [first, git(project, "rev-parse", "HEAD")]
    assert git(project, "rev-parse", "runs") == second


def test_only_tracked_files_and_dependencies_are_recorded(
    project: Path, capsys: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """With edited, added, deleted and untracked files, a secret among them; dvc.lock refers to one untracked file."""
    (project / "lib").mkdir()
    for name in ("lib/used.py", "unused.py", "added.py", ".env", "ignored.txt"):
        (project / name).write_text(name)
    (project / "params.yaml").write_text(PARAMS.replace("weight: 10", "weight: 11"))
    (project / ".gitignore").write_text("ignored.txt\n")
    (project / "requirements.lock").unlink()
    git(project, "add", "added.py")
    lock = project / "dvc.lock"
    more = "".join(f"    - path: {name}\n      hash: md5\n      md5: {'a' * 32}\n" for name in ("lib", "ignored.txt"))
    lock.write_text(lock.read_text().replace("    deps:\n", f"    deps:\n{more}", 1))
    commit = run_record(capsys)
    expected = TRACKED - {"requirements.lock"} | {"dvc.lock", "run.json", "added.py", "lib/used.py"}
    assert files(project, commit) == expected
    assert caplog.messages == [
        "Not recorded because .gitignore excludes it: ignored.txt. A clone of the run lacks it; track it with `git add "
        "--force`."
    ]
    run = json.loads(git(project, "show", f"{commit}:run.json"))
    assert run["uncommitted"] == ["added.py", "params.yaml", "requirements.lock"]
    assert (run["params"]["weight"], run["packages"]) == (11, None)


def test_recording_changes_nothing_of_the_user(project: Path, capsys: Captured) -> None:
    (project / "make.py").write_text("stashed")
    git(project, "stash")
    (project / "params.yaml").write_text("count: 5\nweight: 1\n")
    (project / "staged.py").write_text("staged")
    git(project, "add", "staged.py")
    (project / "staged.py").write_text("and edited")
    (project / "notes.txt").write_text("untracked")
    before = snapshot(project)
    commit = run_record(capsys)
    after = snapshot(project)
    assert after.pop("refs").splitlines() == sorted([*before.pop("refs").splitlines(), f"{commit} refs/heads/runs"])
    assert after == before


def snapshot(project: Path) -> dict[str, str]:
    """Return digests of everything that belongs to the user: files, index, branches, stash, HEAD and its log."""
    paths = [path for path in project.rglob("*") if path.is_file()]
    own = [path for path in paths if not path.is_relative_to(project / ".git")]
    own += [project / ".git" / name for name in ("index", "HEAD", "config", "logs/HEAD", "logs/refs/stash")]
    digests = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in own if ".dvc/tmp" not in str(path)}
    refs = sorted(git(project, "for-each-ref", "--format=%(objectname) %(refname)").splitlines())
    return {**digests, "refs": "\n".join(refs)}


def test_default_identity_is_used_if_git_has_none(
    project: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project.parent))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in list(os.environ):
        if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER", "XDG_CONFIG", "EMAIL")):
            monkeypatch.delenv(name)
    authors = "--format=%an <%ae> %cn <%ce>"
    assert git(project, "show", "--no-patch", authors, run_record(capsys)) == (
        "Boxline <boxline@localhost> Boxline <boxline@localhost>"
    )
    git(project, "config", "user.name", "Ada")
    git(project, "config", "user.email", "ada@example.org")
    assert (
        git(project, "show", "--no-patch", authors, run_record(capsys)) == "Ada <ada@example.org> Ada <ada@example.org>"
    )


def test_concurrent_records_form_one_chain(project: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda number: boxline(project, "record", "--flow-run-id", str(number)), range(4)))
    commits = {result.stdout.split()[1] for result in results}
    chain = git(project, "rev-list", "--first-parent", "main..runs").split()
    assert (len(chain), set(chain)) == (4, commits)
    runs = [json.loads(git(project, "show", f"{commit}:run.json"))["flow_run"] for commit in chain]
    assert sorted(runs) == ["0", "1", "2", "3"]


def test_push_moves_own_runs_on_top_of_remote_ones(
    project: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(project.parent, "init", "--quiet", "--bare", "shared.git")
    git(project, "remote", "add", "origin", "../shared.git")
    git(project, "push", "--quiet", "origin", "main")
    other = Path(shutil.copytree(project, project.parent / "other", symlinks=True))
    first = run_record(capsys, push="origin")
    monkeypatch.chdir(other)
    alone = run_record(capsys, flow="alone")
    (other / "params.yaml").write_text(PARAMS.replace("10", "12"))
    moved = run_record(capsys, push="origin")
    shared = project.parent / "shared.git"
    assert git(shared, "rev-parse", "runs") == moved == git(other, "rev-parse", "runs")
    head = git(project, "rev-parse", "HEAD")
    [before, _] = parents(other, moved)
    assert parents(other, moved) == [before, head]
    assert parents(other, before) == [first, head]
    form = "--format=%T %an %ae %ad %cn %cd %s"
    assert git(other, "show", "--no-patch", form, before) == git(other, "show", "--no-patch", form, alone)
    assert "weight: 12" in git(shared, "show", "runs:params.yaml")
    assert git(other, "for-each-ref", "refs/boxline") == ""


@pytest.mark.parametrize("kind", ["git", "http", "ssh"])
def test_push_retries_same_commit_after_network_error(
    project: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    git(project, "remote", "add", "origin", f"{kind}://127.0.0.1:{free_port()}/runs.git")
    for _ in range(2):
        with pytest.raises(NetworkError) as raised:
            record(flow_run_id="flow-7", push="origin")
    kept = git(project, "rev-parse", "runs")
    assert str(raised.value).startswith(f"The run is recorded here as {kept[:7]} on `runs`, but was not pushed: `git p")
    assert git(project, "rev-list", "--first-parent", "main..runs") == kept
    shared = project.parent / "shared.git"
    git(project, "init", "--quiet", "--bare", str(shared))
    git(project, "remote", "set-url", "origin", str(shared))
    assert run_record(capsys, flow="flow-7", push="origin") == kept == git(shared, "rev-parse", "runs")
    assert run_record(capsys, flow="flow-8") != kept


def test_first_run_of_clone_follows_published_runs(
    project: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_record(capsys)
    git(project.parent, "clone", "--quiet", "--branch", "main", str(project), "clone")
    clone = project.parent / "clone"
    shutil.copy(project / "dvc.lock", clone)
    monkeypatch.chdir(clone)
    assert parents(clone, run_record(capsys))[0] == first


def test_errors_of_record_have_clear_messages(project: Path, tmp_path: Path, capsys: Captured) -> None:
    head = run_record(capsys)[:7]
    with pytest.raises(BoxlineError) as raised:
        record(push="nowhere")
    assert raised.type is BoxlineError  # a retry does not help
    message = str(raised.value)
    unpushed = git(project, "rev-parse", "--short=7", "runs")
    assert unpushed != head
    assert message == (
        f"The run is recorded here as {unpushed} on `runs`, but was not pushed: `git push` failed: fatal: 'nowhere' "
        "does not appear to be a git repository fatal: Could not read from remote repository. Please make sure you "
        "have the correct access rights and the repository exists. Check `git remote -v` and your rights there, then: "
        "git push nowhere runs"
    )
    git(project, "worktree", "add", "--quiet", str(tmp_path / "tree"), "runs")
    assert record_error() == (
        "The branch `runs` is checked out, and recording a run must not change a checked-out branch. Switch to another "
        "one: git switch --create NAME"
    )
    git(project, "worktree", "remove", str(tmp_path / "tree"))
    (project / "dvc.lock").unlink()
    assert record_error().startswith("There is no dvc.lock in the current folder, so there is no run.")
    shutil.rmtree(project / ".git")
    assert record_error() == (
        "The current folder is not in a Git repository, and runs are recorded as Git commits. Run this from the "
        "project's root folder; `git init` creates a repository."
    )
    git(project, "init", "--quiet")
    assert record_error() == (
        "The Git repository has no commit that a run could belong to. Create the first one: git add --all && git commit"
    )


def test_invalid_start_time_is_rejected(project: Path) -> None:
    result = boxline(project, "record", "--started", "yesterday", check=False)
    assert result.returncode == 2
    assert "--started: received 'yesterday', expected a time such as 2026-11-21T18:45:02Z." in result.stderr


def test_run_metadata_and_message_contain_no_secrets(project: Path, capsys: Captured) -> None:
    commit = run_record(capsys)
    assert "hunter2" not in git(project, "show", f"{commit}:run.json")
    assert "hunter2" not in git(project, "show", "--no-patch", commit)


def test_metrics_are_read_from_cache_if_workspace_has_other_ones(project: Path, capsys: Captured) -> None:
    (project / "reports" / "metrics.json").write_text('{"weighted_bytes": 0}')
    run = json.loads(git(project, "show", f"{run_record(capsys)}:run.json"))
    assert run["metrics"]["reports/metrics.json"] == {"md5": METRICS, "content": {"weighted_bytes": 540}}
    shutil.rmtree(project / ".dvc" / "cache")
    run = json.loads(git(project, "show", f"{run_record(capsys)}:run.json"))
    assert run["metrics"]["reports/metrics.json"] == {"md5": METRICS, "content": None}


def test_locked_branch_raises_error(project: Path) -> None:
    (project / ".git" / "refs" / "heads" / "runs.lock").touch()
    message = record_error()
    assert message.startswith("The run could not be added to the branch `runs` (`git update-ref` failed: ")
    assert message.endswith("). Run it again.")
    assert subprocess.run(["git", "rev-parse", "--quiet", "--verify", "runs"], cwd=project, check=False).returncode == 1
