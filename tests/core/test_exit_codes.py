import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import BoxlineError
from pipeline.core.exit_codes import run_stage


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tables", "coco", "--download", "in", "--out", "some/out"])


def test_a_stage_gets_its_words() -> None:
    calls = []

    def stage(dataset: str, download: Path, out: Path) -> None:
        calls.append((dataset, download, out))

    run_stage(stage, "dataset", ["download", "out"])
    assert calls == [("coco", Path("in"), Path("some/out"))]


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (BoxlineError("a.csv, line 3: no."), 1, "Error: a.csv, line 3: no."),
        (
            KeyboardInterrupt(),
            130,
            "Interrupted. No output was left half-written; the same command starts again, or goes on where it can.",
        ),
    ],
)
def test_what_a_user_can_put_right_is_one_line(
    raised: BaseException, code: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    def stage(**_: object) -> None:
        raise raised

    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as ended:
        run_stage(stage, "dataset", ["download", "out"])
    assert ended.value.code == code
    assert caplog.messages == [line]
    assert caplog.records[0].exc_info is None


def test_a_reader_that_has_left_is_no_error_to_tell() -> None:
    """As after `| head`: whatever is printed then, the last words that Python itself flushes among it."""
    for code in ("print('a line', flush=True)", "print('a line')"):
        result = run_into_closed_pipe(
            "import sys\n"
            "from pipeline import cli\n"
            "from pipeline.commands import check\n"
            f"check.check = lambda **_: {code}\n"
            "sys.argv = ['boxline', 'check']\n"
            "cli.main()"
        )
        assert (result.returncode, result.stderr) == (1, "")


def run_into_closed_pipe(code: str) -> subprocess.CompletedProcess[str]:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-c", code],
            check=False,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
    finally:
        os.close(writing)


def test_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def stage(**_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(SystemExit) as ended:
        run_stage(stage, "dataset", ["download", "out"])
    said = capsys.readouterr().err
    assert (ended.value.code, said.startswith("Traceback"), said.endswith("\nZeroDivisionError\n")) == (70, True, True)
