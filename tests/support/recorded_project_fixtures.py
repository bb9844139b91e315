"""The hand-made project, built once."""

import shutil
from pathlib import Path

import pytest

from tests.support.recorded_project import make_project
from tests.support.tiny_project import run_dvc


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after `dvc repro`. Tests work on copies."""
    return make_project(tmp_path_factory.mktemp("numbers") / "project")


@pytest.fixture(scope="session")
def pushed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the project, and the remote that it was pushed to."""
    folder = tmp_path_factory.mktemp("pushed")
    project = shutil.copytree(built, folder / "project", symlinks=True)
    run_dvc(project, "remote", "add", "--default", "store", "../remote")
    run_dvc(project, "push", "--quiet")
    return folder


@pytest.fixture
def project(pushed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, which is the current folder, with the remote beside it."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))  # what DVC remembers of remotes
    copy = shutil.copytree(pushed, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(copy / "project")
    return copy / "project"


@pytest.fixture
def remote(project: Path) -> Path:
    return project.parent / "remote"


@pytest.fixture
def cache(project: Path) -> Path:
    return project / ".dvc" / "cache"
