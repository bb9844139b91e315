"""The GitHub workflows: their syntax, pinned actions, permissions, and the paths that start the data validation."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.cli import main as cli
from tests.support.tiny_project import PROJECT

PYPROJECT = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
STAGES = ("sample", "download", "tables", "inspect", "validate")
"""The stages that the data validation runs."""

DATA_VALIDATION = PROJECT / ".github" / "workflows" / "data-validation.yml"


def actionlint(path: Path) -> tuple[int, str]:
    # Without shellcheck and pyflakes, so that the result does not depend on what is installed.
    command = [Path(sys.executable).with_name("actionlint"), "-shellcheck=", "-pyflakes=", "-no-color", path]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def load(path: Path) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(path)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_passes(path: Path) -> None:
    assert actionlint(path) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("runs-on:", "run-on:", 'unexpected key "run-on" for "job" section'),
        ("github.base_ref", "github.base_reff", 'property "base_reff" is not defined in object type'),
        ("contents: read", "content: read", 'unknown permission scope "content"'),
        ("!cancelled()", "!canceled()", 'undefined function "canceled"'),
    ],
)
def test_actionlint_reports_errors_in_a_workflow(tmp_path: Path, old: str, new: str, message: str) -> None:
    broken = tmp_path / "broken.yml"
    text = DATA_VALIDATION.read_text()
    assert old in text
    broken.write_text(text.replace(old, new))
    code, output = actionlint(broken)
    assert code == 1
    assert message in output


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_commits_and_jobs_only_read(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_scripts_contain_no_expressions(path: Path) -> None:
    """${{ }} is inserted into a script before the shell parses it, and anybody can choose the name of a branch."""
    for job in load(path)["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), step


def test_paths_of_data_validation_exist() -> None:
    for pattern in paths():
        # Projects with a shared remote commit dvc.lock.
        assert any(PROJECT.glob(pattern.removesuffix("/**"))) or pattern == "dvc.lock", pattern


def test_data_validation_runs_after_changes_of_any_dependency_of_its_stages() -> None:
    stages = YAML(typ="safe", pure=True).load(PROJECT / "dvc.yaml")["stages"]
    needed = {dep for stage in STAGES for dep in stages[stage]["do"]["deps"]}
    assert {"pipeline/html", "pipeline/validation"} <= needed
    for dependency in needed:
        changed = dependency if Path(dependency).suffix else f"{dependency}/any"
        assert any(re.fullmatch(as_regex(pattern), changed) for pattern in paths()), dependency


def paths() -> list[str]:
    return load(DATA_VALIDATION)["on"]["pull_request"]["paths"]


def as_regex(pattern: str) -> str:
    """Regular expression of a pattern, in which ** matches anything, and * anything but a slash."""
    return re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")


COMMANDS = [
    step["run"].split()
    for job in load(DATA_VALIDATION)["jobs"].values()
    for step in job["steps"]
    if "boxline" in step.get("run", "")
]


def test_data_validation_checks_and_compares() -> None:
    assert [command[1] for command in COMMANDS] == ["check", "diff"]
    assert all("--github" in command for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[1])
def test_data_validation_runs_an_existing_command(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1  # there is no params.yaml here; an unknown command or option exits with 2


def test_tests_run_on_the_oldest_and_newest_supported_python() -> None:
    [job] = load(PROJECT / ".github" / "workflows" / "tests.yml")["jobs"].values()
    [(oldest, end)] = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', PYPROJECT, re.MULTILINE)
    assert job["strategy"]["matrix"]["python"] == [f"3.{oldest}", f"3.{int(end) - 1}"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make check", "make test", "make test-jax"]


def test_pre_commit_hooks_are_local_and_run_the_project_environment() -> None:
    [repository] = load(PROJECT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert all(hook["entry"].startswith(".venv/bin/") for hook in repository["hooks"])
