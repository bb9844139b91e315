"""dvc.yaml names exactly the code that each stage runs."""

import ast
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.stage import PipelineStage

# One template serves all datasets, so it names what only some readers share. An edit there reruns minutes, not hours.
SHARED_BY_SOME = {
    "pipeline/datasets/coco_files.py",
    "pipeline/datasets/csv_files.py",
    "pipeline/storage/decoding.py",
}


@pytest.mark.slow
def test_every_stage_depends_on_the_modules_that_it_imports(
    built: Path, imports: dict[tuple[str, str], set[str]]
) -> None:
    differences = {}
    for stage in stages_of(built):
        name, _, key = stage.name.partition("@")
        imported, named = imports[name, key], named_files(built, stage)
        # A system's folder is one dependency: whether it brings views of its own, dvc.yaml cannot ask.
        own_folder = {path for path in named if path.startswith("pipeline/systems/") and path.count("/") == 3}
        if missing := imported - named:
            differences[f"{stage.name} should name"] = sorted(missing)
        if idle := named - imported - own_folder - SHARED_BY_SOME:
            differences[f"{stage.name} should not name"] = sorted(idle)
    assert differences == {}


def test_packages_hold_nothing_but_a_docstring() -> None:
    """So that no stage needs to name an __init__.py."""
    for path in (Path(__file__).parents[2] / "pipeline").rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def stages_of(project: Path) -> list[PipelineStage]:
    with Repo(str(project)) as repo:
        return list(repo.index.stages)


def named_files(project: Path, stage: PipelineStage) -> set[str]:
    """Modules of pipeline/ among the stage's dependencies, folders replaced by the modules in them."""
    named = set()
    for dependency in (str(d) for d in stage.deps):
        path = project / dependency
        if dependency.startswith("pipeline/"):
            files = path.glob("*.py") if path.is_dir() else [path]
            named |= {file.relative_to(project).as_posix() for file in files if is_module(file)}
    return named


def is_module(path: Path) -> bool:
    return path.suffix == ".py" and path.name != "__init__.py"
