"""The wrapper of Git commands, with real Git."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import BoxlineError
from pipeline.core.git import (
    GitError,
    GitNetworkError,
    authorship_env,
    git,
    is_checked_out,
    read_file,
    resolve_commit,
    short_commit,
    split_nul,
    write_commit,
)
from tests.support.servers import free_port
from tests.support.tiny_project import PROJECT


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with one commit, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch", "main")
    git("config", "user.name", "Ada")
    git("config", "user.email", "ada@example.org")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("first\n\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "first")
    return tmp_path


def test_content_is_utf_8_whatever_the_locale(repository: Path) -> None:
    (repository / "a.txt").write_text("Köln 猫", encoding="utf-8")
    git("add", "--all")
    code = "from pipeline.core.git import read_file; print(ascii(read_file('', 'a.txt')))"
    env = {**os.environ, "PYTHONPATH": str(PROJECT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, encoding="ascii")
    assert result.stdout == "'K\\xf6ln \\u732b'\n"


def test_revisions_are_resolved_to_commits(repository: Path) -> None:
    commit = git("rev-parse", "HEAD")
    assert resolve_commit("main") == resolve_commit("main", repository / "notes") == commit
    assert resolve_commit("other") is None
    assert short_commit(repository) == git("rev-parse", "--short", "HEAD")


def test_folder_without_repository_has_no_commit(tmp_path: Path) -> None:
    assert short_commit(tmp_path) is None
    assert resolve_commit("HEAD", tmp_path) is None


def test_files_are_read_from_commit_or_index_relative_to_folder(repository: Path) -> None:
    (repository / "notes" / "a.txt").write_text("second\n")
    git("add", "--all")
    assert read_file("HEAD", "notes/a.txt") == "first\n\n"
    assert read_file("HEAD", "a.txt", folder=repository / "notes") == "first\n\n"
    assert read_file("", "notes/a.txt") == "second\n"
    assert read_file("HEAD", "b.txt") is None
    assert read_file("other", "notes/a.txt") is None


def test_commit_is_written_without_moving_the_branch(repository: Path) -> None:
    head = git("rev-parse", "HEAD")
    commit = write_commit("HEAD^{tree}", [head, head], "second\n", env=authorship_env(head))
    assert git("rev-parse", f"{commit}^@").split() == [head]
    assert git("show", "--no-patch", "--format=%an %ae %B", commit) == "Ada ada@example.org second"
    assert git("rev-parse", "HEAD") == head
    assert is_checked_out("refs/heads/main")
    assert not is_checked_out("refs/heads/runs")


def test_names_are_split_at_nul() -> None:
    assert split_nul("a b\0c\n\0") == ["a b", "c\n"]
    assert split_nul("") == []


def test_failed_command_raises_error_with_message_of_git(repository: Path) -> None:
    with pytest.raises(GitError) as raised:
        git("push", "https://me:hunter2@nowhere.invalid:bad/a", "main")
    assert "hunter2" not in str(raised.value)
    with pytest.raises(GitError) as raised:
        git("checkout", "other")
    assert raised.type is GitError
    assert str(raised.value) == "`git checkout` failed: error: pathspec 'other' did not match any file(s) known to git"


def test_unreachable_server_raises_network_error(repository: Path) -> None:
    with pytest.raises(GitNetworkError) as raised:
        git("fetch", f"git://127.0.0.1:{free_port()}/a.git")
    assert raised.value.exit_code == 75


def test_missing_git_raises_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BoxlineError, match="There is no git on PATH"):
        git("status")
