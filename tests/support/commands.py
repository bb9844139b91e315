"""Calls commands of `boxline` in this process, with their arguments as a shell would give them."""

import pytest

from pipeline.cli import main as cli


def exit_code_of(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run `boxline` with these arguments and return its exit code."""
    monkeypatch.setattr("sys.argv", ["boxline", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def run_command(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *arguments: object
) -> tuple[int, list[str]]:
    """Run `boxline` with these arguments and return its exit code and its log lines."""
    caplog.clear()
    with caplog.at_level("INFO"):
        code = exit_code_of(monkeypatch, *arguments)
    # TensorFlow logs how often it has traced a model, which depends on other tests.
    return code, [record.getMessage() for record in caplog.records if record.name.startswith("pipeline")]
