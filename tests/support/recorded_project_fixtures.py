"""Fixtures of the recorded project.

tests/conftest.py imports the session's fixture, so that one build serves all packages of tests; a package that uses
the project imports the others in its own conftest.py.
"""

import shutil
from pathlib import Path

import pytest

from tests.support.recorded_project import make_project
from tests.support.tiny_project import run_dvc


@pytest.fixture(scope="session")
def pushed_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `project`, after `dvc repro` and `dvc push`, and its remote. Tests work on copies of it."""
    folder = tmp_path_factory.mktemp("pushed")
    project = make_project(folder / "project")
    run_dvc(project, "remote", "add", "--default", "store", "../remote")
    run_dvc(project, "push", "--quiet")
    return folder


@pytest.fixture
def project(pushed_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project, which is the current folder, with a copy of the remote next to it."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))  # where DVC caches the contents of remotes
    copy = shutil.copytree(pushed_project, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(copy / "project")
    return copy / "project"


@pytest.fixture
def remote(project: Path) -> Path:
    return project.parent / "remote"


@pytest.fixture
def cache(project: Path) -> Path:
    return project / ".dvc" / "cache"
