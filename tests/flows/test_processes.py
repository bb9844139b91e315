"""Real commands in groups of their own: what is kept of their output, and that nothing of them stays behind."""

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
from flows.processes import TAIL_LINES, Commands, Ended, end_group, is_alive

STUBBORN = 'trap "" TERM; echo $$; while :; do sleep 0.01; done'
"""A shell that says who it is, and goes on when it is asked to end."""

OBEDIENT = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("kept the last epoch")))
print("on", flush=True)
signal.pause()
"""
LIMIT_SECONDS = 1

COMMANDS = Commands()
run = COMMANDS.run


@pytest.fixture(autouse=True)
def little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = end_group.__defaults__
    monkeypatch.setattr(end_group, "__defaults__", (0.2,))
    assert defaults == (processes.GRACE_SECONDS,)


class Command:
    """A shell's command in a folder, and what was told of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "logs" / "command.log"
        self.told: list[str] = []

    def run(self, script: str, timeout_seconds: float = 60, **variables: str) -> Ended:
        return run(["sh", "-c", script], self.folder, self.log, self.told.append, timeout_seconds, variables)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_output_and_errors_come_in_their_order(command: Command) -> None:
    ended = command.run("echo one; echo two >&2; echo; printf three")
    assert ended == Ended(0, "one\ntwo\n\nthree")
    assert command.told == ["one", "two", "", "three"]
    assert command.log.read_text() == "one\ntwo\n\nthree"


def test_the_log_is_whole_and_goes_on_and_the_tail_is_its_end(command: Command) -> None:
    command.run("echo of the first try")
    ended = command.run("seq 1000")
    numbers = [f"{number}\n" for number in range(1, 1001)]
    assert command.log.read_text() == "of the first try\n" + "".join(numbers)
    assert ended.tail == "".join(numbers[-TAIL_LINES:])


def test_lines_are_told_and_logged_while_the_command_runs(command: Command) -> None:
    seen = []

    def tell(line: str) -> None:
        seen.append((line, command.log.read_text()))
        (command.folder / "go_on").write_text("")

    os.mkfifo(command.folder / "go_on")
    run(["sh", "-c", "echo one; read line < go_on; exit 3"], command.folder, command.log, tell, 60)
    assert seen == [("one", "one\n")]


def test_it_runs_in_its_folder_with_its_variables_and_without_a_keyboard(command: Command) -> None:
    ended = command.run('pwd; echo "$GREETING"; cat', GREETING="hello")
    assert ended == Ended(0, f"{command.folder}\nhello\n")


@pytest.mark.parametrize(("script", "code"), [("exit 75", 75), ("kill -9 $$", -9), ("kill $$", -15)])
def test_exit_codes(command: Command, script: str, code: int) -> None:
    assert command.run(script) == Ended(code, "")


def test_bytes_that_are_no_utf8_are_told_by_a_mark(command: Command) -> None:
    ended = command.run(r"printf 'caf\351 \303\251\nnext\n'")
    assert ended == Ended(0, "caf\N{REPLACEMENT CHARACTER} é\nnext\n")
    assert command.log.read_text(encoding="utf-8") == ended.tail


def test_a_command_that_is_not_there_is_an_error_and_is_not_remembered(command: Command) -> None:
    with pytest.raises(FileNotFoundError, match="does-not-exist"):
        run(["does-not-exist"], command.folder, command.log, command.told.append, 60)
    assert COMMANDS._groups == set()


def test_who_listens_may_fail_and_the_command_ends(command: Command) -> None:
    """As when Prefect cancels a run by an exception in the thread that reads."""
    process_ids = []

    def tell(line: str) -> None:
        process_ids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", "echo $$; exec sleep 1000"], command.folder, command.log, tell, 60)
    assert not lives(process_ids[0])
    assert COMMANDS._groups == set()


def test_a_command_that_takes_too_long_ends_with_its_grandchildren(command: Command) -> None:
    ended = command.run(f"sh -c '{STUBBORN}' & wait", LIMIT_SECONDS)
    assert (ended.return_code, ended.timed_out) == (-15, True)
    assert len(command.told) == 1
    assert not lives(int(command.told[0]))


def test_one_that_does_not_want_to_end_is_killed(command: Command) -> None:
    ended = command.run(STUBBORN, LIMIT_SECONDS)
    assert (ended.return_code, ended.timed_out) == (-signal.SIGKILL, True)
    assert not lives(int(command.told[0]))


def test_one_that_ends_when_asked_may_say_goodbye(command: Command) -> None:
    words = [sys.executable, "-c", OBEDIENT]
    ended = run(words, command.folder, command.log, command.told.append, LIMIT_SECONDS)
    assert ended == Ended(0, "on\nkept the last epoch\n", timed_out=True)


def test_what_a_command_leaves_behind_ends_with_it(command: Command) -> None:
    ended = command.run("sleep 1000 > /dev/null 2>&1 & echo $!")
    assert ended.return_code == 0
    assert not lives(int(ended.tail))


def test_what_it_leaves_behind_with_its_output_open_ends_with_it_too(command: Command) -> None:
    """Whoever reads to the end of the output would wait for it."""
    ended = command.run("sleep 1000 & echo $!", 60)
    assert (ended.return_code, ended.timed_out) == (0, False)
    assert not lives(int(ended.tail))


def test_at_the_end_of_a_run_the_commands_of_all_its_threads_end_and_no_others(tmp_path: Path) -> None:
    began = threading.Semaphore(0)
    commands = Commands()
    process_ids: list[int] = []

    def tell(line: str) -> None:
        process_ids.append(int(line))
        began.release()

    def start(name: str) -> Ended:
        return commands.run(["sh", "-c", STUBBORN], tmp_path, tmp_path / f"{name}.log", tell, 60)

    other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        with ThreadPoolExecutor() as threads:
            with commands:
                running = [threads.submit(start, name) for name in "ab"]
                for _ in running:
                    began.acquire()
            assert not any(map(lives, process_ids))
            assert [command.result().return_code for command in running] == [-signal.SIGKILL] * 2
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    commands.end_all()  # nothing runs, nothing to do


def test_a_thread_that_outlives_its_run_starts_nothing(command: Command) -> None:
    """As one of Prefect, when a run is cancelled between two commands of a task."""
    with Commands() as commands:
        pass
    ended = commands.run(["touch", "late"], command.folder, command.log, command.told.append, 60)
    assert ended == Ended(-signal.SIGTERM, "")
    assert not (command.folder / "late").exists()
    assert command.run("touch late") == Ended(0, "")  # of another run in the same process


@pytest.fixture
def zombie() -> Iterator[psutil.Process]:
    """A process that has ended, and that its parent has not asked about."""
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


def test_a_zombie_is_not_alive(zombie: psutil.Process) -> None:
    assert zombie.is_running()
    assert not is_alive(zombie)


def test_this_process_is_alive_and_one_that_was_is_not() -> None:
    assert is_alive(psutil.Process())
    with subprocess.Popen(["true"]) as process:
        known = psutil.Process(process.pid)
    assert not is_alive(known)


def lives(process_id: int) -> bool:
    try:
        return is_alive(psutil.Process(process_id))
    except psutil.NoSuchProcess:
        return False
