"""Stage functions as commands: their options follow from the signature."""

import ast
import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.core.errors import BoxlineError
from pipeline.stages.runner import run_stage
from tests.support.tiny_project import PROJECT

DVC_STAGES = YAML(typ="safe", pure=True).load(PROJECT / "dvc.yaml")["stages"]


@pytest.fixture(autouse=True)
def arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tables", "coco", "--download-folder", "in", "--out", "some/out"])


def test_first_parameter_is_positional_and_others_are_options() -> None:
    calls = []

    def stage(dataset: str, download_folder: Path, out: Path) -> None:
        calls.append((dataset, download_folder, out))

    run_stage(stage)
    assert calls == [("coco", Path("in"), Path("some/out"))]


def test_missing_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    def stage(dataset: str, download_folder: Path, out: Path, report: Path) -> None:
        raise AssertionError

    with pytest.raises(SystemExit) as ended:
        run_stage(stage)
    assert ended.value.code == 2
    assert "the following arguments are required: --report" in capsys.readouterr().err


@pytest.mark.parametrize("name", DVC_STAGES)
def test_dvc_yaml_passes_every_option_of_stage(name: str) -> None:
    command = shlex.split(DVC_STAGES[name]["do"]["cmd"])
    assert command[:3] == ["pipeline/stages/run", name, "${key}"]
    options = [word.removeprefix("--").replace("-", "_") for word in command if word.startswith("--")]
    source = (PROJECT / "pipeline" / "stages" / f"{name}.py").read_text()
    assert source.endswith(f"    run_stage({name})\n")
    [stage] = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name]
    subject, *parameters = stage.args.args
    assert subject.arg == ("dataset" if DVC_STAGES[name]["foreach"] == "${datasets}" else "system")
    assert options == [parameter.arg for parameter in parameters]
    assert all(ast.unparse(parameter.annotation or subject) == "Path" for parameter in parameters)


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (BoxlineError("a.csv, line 3: no."), 1, "Error: a.csv, line 3: no."),
        (
            KeyboardInterrupt(),
            130,
            "Interrupted. No output is half-written; run the same command again to restart or resume.",
        ),
    ],
)
def test_user_error_is_one_line_without_traceback(
    raised: BaseException, code: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    def stage(dataset: str, download_folder: Path, out: Path) -> None:
        raise raised

    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as ended:
        run_stage(stage)
    assert ended.value.code == code
    assert caplog.messages == [line]
    assert caplog.records[0].exc_info is None


def test_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def stage(dataset: str, download_folder: Path, out: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(SystemExit) as ended:
        run_stage(stage)
    output = capsys.readouterr().err
    assert ended.value.code == 70
    assert output.startswith("Traceback")
    assert output.endswith("\nZeroDivisionError\n")


@pytest.mark.parametrize("code", ["print('a line', flush=True)", "print('a line')"])
def test_closed_pipe_ends_without_message(code: str) -> None:
    """As after `| head`; the second case fails only when Python flushes stdout at exit."""
    program = (
        "import sys\n"
        "from pipeline.core.exit_codes import handle_errors\n"
        f"with handle_errors():\n    {code}\n    sys.stdout.flush()"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = subprocess.run(
            [sys.executable, "-c", program], check=False, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=PROJECT
        )
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (1, "")
