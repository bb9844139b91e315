"""Runs as commits: what is in them, what stays as it was, and what happens beside others who record."""

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


def recorded(
    captured: Captured, started: datetime | None = None, flow: str | None = None, to: str | None = None
) -> str:
    """The commit that was printed."""
    assert record(started, flow, to) == 0
    branch, commit = captured.readouterr().out.split()
    assert branch == "runs"
    return str(commit)


def complaint() -> str:
    with pytest.raises(BoxlineError) as raised:
        record(None, None, None)
    return str(raised.value)


def files(project: Path, commit: str) -> set[str]:
    return set(git(project, "ls-tree", "-r", "--name-only", commit).splitlines())


def parents(project: Path, commit: str) -> list[str]:
    return git(project, "rev-parse", f"{commit}^@").split()


TRACKED = {".dvc/.gitignore", ".dvc/config", ".dvcignore", "dvc.yaml", "make.py", "params.yaml", "requirements.lock"}


def test_a_run_says_what_it_was(project: Path, capsys: Captured) -> None:
    head = git(project, "rev-parse", "HEAD")
    commit = recorded(capsys, datetime.fromisoformat("2026-11-21T20:00:00+02:00"), "flow-7")
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
    assert git(project, "show", f"{commit}:params.yaml") + "\n" == PARAMS  # as the user keeps it
    assert git(project, "show", "--no-patch", "--format=%s", commit) == f"Run of {ended} at {head[:7]}"


def test_each_run_follows_the_one_before_and_belongs_to_a_commit(project: Path, capsys: Captured) -> None:
    first = recorded(capsys)
    git(project, "commit", "--quiet", "--allow-empty", "--message", "later")
    second = recorded(capsys)
    assert parents(project, second) == [first, git(project, "rev-parse", "HEAD")]
    assert git(project, "rev-parse", "runs") == second


def test_what_ran_is_recorded_and_nothing_else(
    project: Path, capsys: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    """Edited, newly added, deleted and untracked files, of which dvc.lock names one; and a secret beside them."""
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
    commit = recorded(capsys)
    expected = TRACKED - {"requirements.lock"} | {"dvc.lock", "run.json", "added.py", "lib/used.py"}
    assert files(project, commit) == expected
    assert caplog.messages == [
        "Not recorded, since .gitignore excludes it: ignored.txt. A clone of the run lacks it; `git add --force` "
        "tracks it."
    ]
    run = json.loads(git(project, "show", f"{commit}:run.json"))
    assert run["uncommitted"] == ["added.py", "params.yaml", "requirements.lock"]
    assert (run["params"]["weight"], run["packages"]) == (11, None)


def test_the_users_work_stays_as_it_is(project: Path, capsys: Captured) -> None:
    (project / "make.py").write_text("stashed")
    git(project, "stash")
    (project / "params.yaml").write_text("count: 5\nweight: 1\n")
    (project / "staged.py").write_text("staged")
    git(project, "add", "staged.py")
    (project / "staged.py").write_text("and edited")
    (project / "notes.txt").write_text("untracked")
    before = snapshot(project)
    commit = recorded(capsys)
    after = snapshot(project)
    assert after.pop("refs").splitlines() == sorted([*before.pop("refs").splitlines(), f"{commit} refs/heads/runs"])
    assert after == before


def snapshot(project: Path) -> dict[str, str]:
    """Every byte that belongs to the user: files, index, branches, stash, HEAD and its log."""
    paths = [path for path in project.rglob("*") if path.is_file()]
    own = [path for path in paths if not path.is_relative_to(project / ".git")]
    own += [project / ".git" / name for name in ("index", "HEAD", "config", "logs/HEAD", "logs/refs/stash")]
    found = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in own if ".dvc/tmp" not in str(path)}
    refs = sorted(git(project, "for-each-ref", "--format=%(objectname) %(refname)").splitlines())
    return {**found, "refs": "\n".join(refs)}


def test_git_need_not_know_who_records(project: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project.parent))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in list(os.environ):
        if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER", "XDG_CONFIG", "EMAIL")):
            monkeypatch.delenv(name)
    who = "--format=%an <%ae> %cn <%ce>"
    assert git(project, "show", "--no-patch", who, recorded(capsys)) == (
        "Boxline <boxline@localhost> Boxline <boxline@localhost>"
    )
    git(project, "config", "user.name", "Ada")
    git(project, "config", "user.email", "ada@example.org")
    assert git(project, "show", "--no-patch", who, recorded(capsys)) == "Ada <ada@example.org> Ada <ada@example.org>"


def test_several_record_at_once(project: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda number: boxline(project, "record", "--flow-run-id", str(number)), range(4)))
    commits = {result.stdout.split()[1] for result in results}
    chain = git(project, "rev-list", "--first-parent", "main..runs").split()
    assert (len(chain), set(chain)) == (4, commits)
    runs = [json.loads(git(project, "show", f"{commit}:run.json"))["flow_run"] for commit in chain]
    assert sorted(runs) == ["0", "1", "2", "3"]


def test_runs_are_pushed_on_top_of_those_of_others(
    project: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(project.parent, "init", "--quiet", "--bare", "shared.git")
    git(project, "remote", "add", "origin", "../shared.git")
    git(project, "push", "--quiet", "origin", "main")
    other = Path(shutil.copytree(project, project.parent / "other", symlinks=True))
    first = recorded(capsys, to="origin")
    monkeypatch.chdir(other)
    alone = recorded(capsys, flow="alone")
    (other / "params.yaml").write_text(PARAMS.replace("10", "12"))
    moved = recorded(capsys, to="origin")
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
def test_a_push_that_met_no_server_may_pass_and_is_tried_again_with_the_same_commit(
    project: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    git(project, "remote", "add", "origin", f"{kind}://127.0.0.1:{free_port()}/runs.git")
    for _ in range(2):
        with pytest.raises(NetworkError) as raised:
            record(None, "flow-7", "origin")
    kept = git(project, "rev-parse", "runs")
    assert str(raised.value).startswith(f"The run is recorded here as {kept[:7]} on `runs`, but was not pushed: `git p")
    assert git(project, "rev-list", "--first-parent", "main..runs") == kept
    shared = project.parent / "shared.git"
    git(project, "init", "--quiet", "--bare", str(shared))
    git(project, "remote", "set-url", "origin", str(shared))
    assert recorded(capsys, flow="flow-7", to="origin") == kept == git(shared, "rev-parse", "runs")
    assert recorded(capsys, flow="flow-8") != kept


def test_a_clone_goes_on_where_the_published_runs_end(
    project: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = recorded(capsys)
    git(project.parent, "clone", "--quiet", "--branch", "main", str(project), "clone")
    clone = project.parent / "clone"
    shutil.copy(project / "dvc.lock", clone)
    monkeypatch.chdir(clone)
    assert parents(clone, recorded(capsys))[0] == first


def test_what_cannot_be_recorded_is_said(project: Path, tmp_path: Path, capsys: Captured) -> None:
    head = recorded(capsys)[:7]
    with pytest.raises(BoxlineError) as raised:
        record(None, None, "nowhere")
    assert raised.type is BoxlineError  # not one that may pass
    said = str(raised.value)
    pushed = git(project, "rev-parse", "--short=7", "runs")
    assert pushed != head
    assert said == (
        f"The run is recorded here as {pushed} on `runs`, but was not pushed: `git push` failed: fatal: 'nowhere' does "
        "not appear to be a git repository fatal: Could not read from remote repository. Please make sure you have the "
        "correct access rights and the repository exists. Check `git remote -v` and your rights there, then: git push "
        "nowhere runs"
    )
    git(project, "worktree", "add", "--quiet", str(tmp_path / "tree"), "runs")
    assert complaint() == (
        "The branch `runs` is checked out, and a run is recorded without touching what is checked out. Work on another "
        "branch: git switch --create NAME"
    )
    git(project, "worktree", "remove", str(tmp_path / "tree"))
    (project / "dvc.lock").unlink()
    assert complaint().startswith("There is no dvc.lock in the current folder, so no run is known.")
    shutil.rmtree(project / ".git")
    assert complaint() == (
        "The current folder is in no Git repository, and runs are recorded as its commits. Run this from the project's "
        "root folder; `git init` makes one."
    )
    git(project, "init", "--quiet")
    assert complaint() == (
        "The Git repository has no commit, so there is nothing that a run could belong to. Make the first one: git add "
        "--all && git commit"
    )


def test_a_time_is_a_time(project: Path) -> None:
    result = boxline(project, "record", "--started", "yesterday", check=False)
    assert result.returncode == 2
    assert result.stderr.endswith("argument --started: received 'yesterday', expected a time as 2026-11-21T18:45:02Z\n")


def test_secrets_do_not_leave_the_files_that_the_user_tracks(project: Path, capsys: Captured) -> None:
    commit = recorded(capsys)
    assert "hunter2" not in git(project, "show", f"{commit}:run.json")
    assert "hunter2" not in git(project, "show", "--no-patch", commit)


def test_metrics_that_are_only_in_the_cache_are_read_there(project: Path, capsys: Captured) -> None:
    (project / "reports" / "metrics.json").write_text('{"weighted_bytes": 0}')
    run = json.loads(git(project, "show", f"{recorded(capsys)}:run.json"))
    assert run["metrics"]["reports/metrics.json"] == {"md5": METRICS, "content": {"weighted_bytes": 540}}
    shutil.rmtree(project / ".dvc" / "cache")
    run = json.loads(git(project, "show", f"{recorded(capsys)}:run.json"))
    assert run["metrics"]["reports/metrics.json"] == {"md5": METRICS, "content": None}


def test_a_lock_that_somebody_holds_is_waited_for_or_named(project: Path) -> None:
    (project / ".git" / "refs" / "heads" / "runs.lock").touch()
    said = complaint()
    assert said.startswith("The run could not be put on the branch `runs` (`git update-ref` failed: ")
    assert said.endswith("). Run it again.")
    assert subprocess.run(["git", "rev-parse", "--quiet", "--verify", "runs"], cwd=project, check=False).returncode == 1
