"""Real commands in process groups: their output, their exit codes, and that none of their processes survive."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from flows import processes
from flows.processes import TAIL_LINES, CommandResult, CommandRunner, is_alive, terminate_group

STUBBORN = 'trap "" TERM; echo $$; while :; do sleep 0.01; done'
"""A shell that prints its process id and ignores SIGTERM."""

SAVES_ON_SIGTERM = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("saved")))
print("ready", flush=True)
signal.pause()
"""
LIMIT_SECONDS = 1

RUNNER = CommandRunner()
run = RUNNER.run


@pytest.fixture(autouse=True)
def short_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminate_group.__defaults__ == (processes.GRACE_SECONDS,)
    monkeypatch.setattr(terminate_group, "__defaults__", (0.2,))


class Command:
    """A shell command in a folder, and the lines of its output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "logs" / "command.log"
        self.lines: list[str] = []

    def run(self, script: str, timeout_seconds: float = 60, **env: str) -> CommandResult:
        return run(["sh", "-c", script], self.folder, self.log, self.lines.append, timeout_seconds, env)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_stdout_and_stderr_are_combined_in_order(command: Command) -> None:
    result = command.run("echo one; echo two >&2; echo; printf three")
    assert result == CommandResult(0, "one\ntwo\n\nthree")
    assert command.lines == ["one", "two", "", "three"]
    assert command.log.read_text() == "one\ntwo\n\nthree"


def test_log_is_appended_and_tail_has_its_last_lines(command: Command) -> None:
    command.run("echo of the first try")
    result = command.run("seq 1000")
    numbers = [f"{number}\n" for number in range(1, 1001)]
    assert command.log.read_text() == "of the first try\n" + "".join(numbers)
    assert result.tail == "".join(numbers[-TAIL_LINES:])


def test_lines_are_logged_and_passed_on_while_the_command_runs(command: Command) -> None:
    seen = []

    def on_line(line: str) -> None:
        seen.append((line, command.log.read_text()))
        (command.folder / "resume").write_text("")

    os.mkfifo(command.folder / "resume")
    run(["sh", "-c", "echo one; read line < resume; exit 3"], command.folder, command.log, on_line, 60)
    assert seen == [("one", "one\n")]


def test_command_has_its_folder_its_environment_and_no_input(command: Command) -> None:
    result = command.run('pwd; echo "$GREETING"; cat', GREETING="hello")
    assert result == CommandResult(0, f"{command.folder}\nhello\n")


@pytest.mark.parametrize(("script", "code"), [("exit 75", 75), ("kill -9 $$", -9), ("kill $$", -15)])
def test_return_code_is_the_exit_code_or_the_negative_signal(command: Command, script: str, code: int) -> None:
    assert command.run(script) == CommandResult(code, "")


def test_invalid_utf8_is_replaced(command: Command) -> None:
    result = command.run(r"printf 'caf\351 \303\251\nnext\n'")
    assert result == CommandResult(0, "caf\N{REPLACEMENT CHARACTER} é\nnext\n")
    assert command.log.read_text(encoding="utf-8") == result.tail


def test_missing_program_raises_and_leaves_no_group_registered(command: Command) -> None:
    with pytest.raises(FileNotFoundError, match="does-not-exist"):
        run(["does-not-exist"], command.folder, command.log, command.lines.append, 60)
    assert RUNNER._groups == set()


def test_command_is_terminated_if_the_reader_raises(command: Command) -> None:
    """Prefect cancels a run by an exception in the thread that reads the output."""
    process_ids = []

    def on_line(line: str) -> None:
        process_ids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", "echo $$; exec sleep 1000"], command.folder, command.log, on_line, 60)
    assert not lives(process_ids[0])
    assert RUNNER._groups == set()


def test_timeout_terminates_the_command_and_its_grandchildren(command: Command) -> None:
    result = command.run(f"sh -c '{STUBBORN}' & wait", LIMIT_SECONDS)
    assert (result.return_code, result.timed_out) == (-15, True)
    assert len(command.lines) == 1
    assert not lives(int(command.lines[0]))


def test_command_that_ignores_sigterm_is_killed(command: Command) -> None:
    result = command.run(STUBBORN, LIMIT_SECONDS)
    assert (result.return_code, result.timed_out) == (-signal.SIGKILL, True)
    assert not lives(int(command.lines[0]))


def test_output_after_sigterm_is_kept(command: Command) -> None:
    argv = [sys.executable, "-c", SAVES_ON_SIGTERM]
    result = run(argv, command.folder, command.log, command.lines.append, LIMIT_SECONDS)
    assert result == CommandResult(0, "ready\nsaved\n", timed_out=True)


def test_background_process_is_terminated_with_the_command(command: Command) -> None:
    result = command.run("sleep 1000 > /dev/null 2>&1 & echo $!")
    assert result.return_code == 0
    assert not lives(int(result.tail))


def test_background_process_that_holds_the_output_open_is_terminated(command: Command) -> None:
    """Reading the output to its end would wait for that process."""
    result = command.run("sleep 1000 & echo $!", 60)
    assert (result.return_code, result.timed_out) == (0, False)
    assert not lives(int(result.tail))


def test_close_terminates_the_commands_of_all_threads_and_no_other_processes(tmp_path: Path) -> None:
    started = threading.Semaphore(0)
    runner = CommandRunner()
    process_ids: list[int] = []

    def on_line(line: str) -> None:
        process_ids.append(int(line))
        started.release()

    def start(name: str) -> CommandResult:
        return runner.run(["sh", "-c", STUBBORN], tmp_path, tmp_path / f"{name}.log", on_line, 60)

    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        with ThreadPoolExecutor() as threads:
            with runner:
                running = [threads.submit(start, name) for name in "ab"]
                for _ in running:
                    started.acquire()
            assert not any(map(lives, process_ids))
            assert [command.result().return_code for command in running] == [-signal.SIGKILL] * 2
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    runner.close()  # without running commands


def test_no_command_starts_after_close(command: Command) -> None:
    """A thread of Prefect survives the cancellation of its run and starts the next command of its task."""
    with CommandRunner() as runner:
        pass
    result = runner.run(["touch", "late"], command.folder, command.log, command.lines.append, 60)
    assert result == CommandResult(-signal.SIGTERM, "")
    assert not (command.folder / "late").exists()
    assert command.run("touch late") == CommandResult(0, "")  # the runner of another run in the same process


@pytest.fixture
def zombie() -> Iterator[psutil.Process]:
    """A process that has result and was not reaped by its parent."""
    parent = subprocess.Popen(
        [sys.executable, "-c", "import os; child = os.fork() or os._exit(0); print(child, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    while child.status() != psutil.STATUS_ZOMBIE:
        os.sched_yield()
    yield child
    parent.communicate("\n")


def test_zombie_is_not_alive(zombie: psutil.Process) -> None:
    assert zombie.is_running()
    assert not is_alive(zombie)


def test_running_process_is_alive_and_ended_one_is_not() -> None:
    assert is_alive(psutil.Process())
    with subprocess.Popen(["true"]) as process:
        known = psutil.Process(process.pid)
    assert not is_alive(known)


def lives(process_id: int) -> bool:
    try:
        return is_alive(psutil.Process(process_id))
    except psutil.NoSuchProcess:
        return False
