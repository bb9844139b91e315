"""dvc.yaml names exactly the code that each stage runs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.stage import PipelineStage

from tests.e2e.tiny import make_tiny_project

# Runs a stage as pipeline/stages/run would and prints the project's modules that it imported.
RUN_AND_LIST = """
import json, runpy, sys
stage, *words = sys.argv[1:]
sys.argv = [stage, *words]
runpy.run_module(f"pipeline.stages.{stage}", run_name="__main__")
print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.startswith("pipeline.")]))
"""


# One template serves all datasets, so it names what only some readers share. An edit there reruns minutes, not hours.
SHARED_BY_SOME = {"pipeline/datasets/csv_files.py"}


@pytest.mark.slow
def test_every_stage_depends_on_the_modules_that_it_imports(tmp_path: Path) -> None:
    project = make_tiny_project(tmp_path)
    differences = {}
    for stage in stages_in_order(project):
        imported = {f"pipeline/stages/{stage.name.partition('@')[0]}.py", *imported_files(project, stage)}
        named = named_files(project, stage)
        # A system's folder is one dependency: whether it brings views of its own, dvc.yaml cannot ask.
        own_folder = {name for name in named if name.startswith("pipeline/systems/") and name.count("/") == 3}
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


def stages_in_order(project: Path) -> list[PipelineStage]:
    with Repo(str(project)) as repo:
        order = ["download", "tables", "validate", "pack", "targets", "preset", "train", "evaluate"]
        return sorted(repo.index.stages, key=lambda stage: order.index(stage.name.partition("@")[0]))


def imported_files(project: Path, stage: PipelineStage) -> set[str]:
    _, *words = stage.cmd.split()
    result = subprocess.run(
        [sys.executable, "-c", RUN_AND_LIST, *words], cwd=project, check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    files = [Path(name).relative_to(project).as_posix() for name in json.loads(result.stdout.splitlines()[-1])]
    return {name for name in files if not name.endswith("__init__.py")}


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
