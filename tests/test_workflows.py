"""The workflows of .github, read by actionlint, and that it reads them with care."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.cli import main as cli
from tests.support.tiny_project import PROJECT

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
STAGES = ("sample", "download", "tables", "inspect", "validate")
"""What its steps run."""

DATA_VALIDATION = PROJECT / ".github" / "workflows" / "data-validation.yml"


def actionlint(path: Path) -> tuple[int, str]:
    # Neither shellcheck nor pyflakes: whether they are installed must not decide what is found.
    words = [Path(sys.executable).with_name("actionlint"), "-shellcheck=", "-pyflakes=", "-no-color", path]
    result = subprocess.run(words, check=False, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


def content() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(DATA_VALIDATION)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_has_no_complaint(path: Path) -> None:
    assert actionlint(path) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("runs-on:", "run-on:", 'unexpected key "run-on" for "job" section'),
        ("github.base_ref", "github.base_reff", 'property "base_reff" is not defined in object type'),
        ("contents: read", "content: read", 'unknown permission scope "content"'),
        ("!cancelled()", "!canceled()", 'undefined function "canceled"'),
    ],
)
def test_actionlint_sees_what_breaks_a_workflow(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    broken = tmp_path / "broken.yml"
    text = DATA_VALIDATION.read_text()
    assert old in text
    broken.write_text(text.replace(old, new))
    code, output = actionlint(broken)
    assert code == 1
    assert complaint in output


def test_actions_are_pinned_to_commits_and_jobs_may_only_read() -> None:
    for path in WORKFLOWS:
        used = re.findall(r"uses: (\S+)(.*)", path.read_text())
        assert used
        for action, comment in used:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), f"{path.name}: {action}"
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{path.name}: {action}"
    assert content()["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in content()["jobs"].values())


def test_no_word_of_a_pull_request_reaches_a_shell() -> None:
    """${{ }} is pasted into a script before the shell reads it, and anybody may name a branch."""
    for job in content()["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), step


def test_it_runs_where_what_it_checks_has_changed() -> None:
    for pattern in paths():
        # A project of one's own commits dvc.lock.
        assert any(PROJECT.glob(pattern.removesuffix("/**"))) or pattern == "dvc.lock", pattern


def test_it_runs_where_anything_has_changed_that_its_stages_depend_on() -> None:
    stages = YAML(typ="safe", pure=True).load(PROJECT / "dvc.yaml")["stages"]
    needed = {dep for stage in STAGES for dep in stages[stage]["do"]["deps"]}
    assert {"pipeline/geometry/boxes.py", "pipeline/html", "pipeline/validation"} <= needed
    for dependency in needed:
        changed = dependency if Path(dependency).suffix else f"{dependency}/any"
        assert any(re.fullmatch(as_expression(pattern), changed) for pattern in paths()), dependency


def paths() -> list[str]:
    return content()["on"]["pull_request"]["paths"]


def as_expression(pattern: str) -> str:
    """** is anything, * anything but a slash."""
    return re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")


def test_the_command_that_it_runs_is_one_of_boxlines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [words] = [
        step["run"].split()
        for job in content()["jobs"].values()
        for step in job["steps"]
        if "boxline" in step.get("run", "")
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1  # there is no params.yaml here; words that are not understood end with 2
