"""The command line as a whole: list of commands, wrong usage, start-up."""

import importlib
import inspect
import os
import subprocess
import sys

import pytest

from pipeline.cli import main as cli
from tests.support.tiny_project import PROJECT

NAMES = ["add", "check", "diff", "export", "outdated", "show"]
NAMES += ["evaluate", "export-model", "predict", "summary", "record", "repair", "trace", "verify", "params"]


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli.main", *args]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=PROJECT)


def test_help_lists_commands_by_group() -> None:
    result = run("--help")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "Options:",
        "Data:",
        "Models:",
        "Runs and remote:",
        "Project:",
    ]
    assert [line.strip().partition(":")[0] for line in lines if line.startswith("  ")][1:] == NAMES
    assert result.stdout.isascii()  # no boxes around the groups


@pytest.mark.parametrize("name", NAMES)
def test_help_of_command_is_its_docstring(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["boxline", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    output = capsys.readouterr().out
    assert output.startswith(f"Usage: boxline {name}")
    assert len(output.split("\n\n")) > 2
    function = name.replace("-", "_")
    docstring = inspect.getdoc(getattr(importlib.import_module(f"pipeline.cli.{function}"), function))
    assert docstring
    description = docstring.partition("Args:")[0].replace("`", "")  # a <placeholder> that is not code would be dropped
    assert " ".join(description.split()) in " ".join(output.split())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["dif"], "unknown command 'dif', expected one of add, check, diff, export, "),
        (["check", "--foo"], "Unknown option: --foo. See `boxline check --help`."),
        (["trace"], 'Command "trace" parameter FILE requires an argument. See `boxline trace --help`.'),
        (["check", "--against"], 'Command "check" parameter --against requires an argument.'),
        (
            ["record", "--started", "today"],
            "--started: received 'today', expected a time such as 2026-11-21T18:45:02Z. See `boxline record --help`.",
        ),
    ],
)
def test_wrong_usage_is_one_line_with_exit_code_2(
    args: list[str], message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["boxline", *args])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    [line] = caplog.messages
    assert line.startswith(f"Error: {message}")
    assert "\n" not in line


def test_unknown_command_suggests_a_similar_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "argv", ["boxline", "expert"])
    with pytest.raises(SystemExit):
        cli.main()
    assert caplog.messages[0].endswith("params. Did you mean export?")


def test_user_error_is_one_line_with_exit_code_1() -> None:
    result = run("check", "cocoa")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: params.yaml: datasets has no entry 'cocoa'; known are digits, coco, rectangles, snacks.\n"
    )


def test_closed_pipe_ends_without_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "pipeline.cli.main", "params"]
        result = subprocess.run(command, check=False, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=PROJECT)
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (1, "")


def test_help_imports_no_command() -> None:
    code = (
        "import sys\n"
        "from pipeline.cli import main\n"
        "sys.argv = ['boxline', '--help']\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pyarrow', 'keras', 'tensorflow', 'dvc', 'prefect', 'matplotlib', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=PROJECT)
    assert result.stdout.splitlines()[-1] == "[]"


def test_interrupt_is_one_line_with_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.cli.params.load_params", interrupted)
    monkeypatch.setattr(sys, "argv", ["boxline", "params"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert caplog.messages == [
        "Interrupted. No output is half-written; run the same command again to restart or resume."
    ]
