"""Commands in process groups of their own, terminated together with all processes that they started."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

GRACE_SECONDS = 5
"""Between SIGTERM and SIGKILL. A training loses nothing: its checkpoint of the last epoch is complete at any time."""

TAIL_LINES = 60
"""Lines at the end of the output that are kept to classify failures."""


@dataclass(frozen=True)
class CommandResult:
    """How a command ended.

    Attributes:
        return_code: as in `subprocess`: negative for a signal.
        tail: the last TAIL_LINES lines of the output.
        timed_out: whether the command was terminated because it took too long.
        oom_kills: processes that Linux killed for lack of memory, on the whole machine, while the command ran.

    """

    return_code: int
    tail: str
    timed_out: bool = False
    oom_kills: int = 0


class CommandRunner:
    """Runs the commands of a flow run, from several threads.

    As a context manager it terminates all commands on exit, and no command starts after that.
    """

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        argv: Sequence[str | Path],
        folder: Path,
        log_file: Path,
        on_line: Callable[[str], None],
        timeout_seconds: float,
        env: Mapping[str, str] | None = None,
    ) -> CommandResult:
        """Run a command to its end and terminate whatever it leaves running.

        Args:
            argv: the program and its arguments.
            folder: working directory.
            log_file: the combined stdout and stderr are appended to it.
            on_line: called with each line of the output, without its line break, while the command runs.
            timeout_seconds: the command and its child processes are terminated after this time.
            env: environment variables in addition to those of this process.

        Returns:
            The result; after `close` a result as of a terminated command, without starting one.

        Raises:
            OSError: if the program does not exist or the log cannot be written.

        """
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        oom_kills_before = _oom_kills()
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("a", encoding="utf-8") as log, self._started(argv, folder, env) as process:
            if process is None:
                return CommandResult(-signal.SIGTERM, "")
            cleanup = threading.Thread(target=_terminate_leftovers, args=(process,))
            timeout = _Timeout(timeout_seconds, process.pid)
            assert process.stdout is not None
            with timeout, process.stdout as output:
                cleanup.start()
                try:
                    for line in output:
                        log.write(line)
                        log.flush()
                        tail.append(line)
                        on_line(line.rstrip("\n"))
                except BaseException:  # the log's disk is full, or the run is canceled: nothing reads the output
                    terminate_group(process.pid)
                    raise
                finally:
                    cleanup.join()
        return CommandResult(process.returncode, "".join(tail), timeout.expired, _oom_kills() - oom_kills_before)

    def close(self) -> None:
        """Terminate the running commands of all threads, and start no others."""
        with self._lock:
            self._is_closed = True
            groups = list(self._groups)
        threads = [threading.Thread(target=terminate_group, args=(group,)) for group in groups]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @contextlib.contextmanager
    def _started(
        self, argv: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None
    ) -> Iterator["subprocess.Popen[str] | None"]:
        """Start a process whose group is registered until the block ends; yield None after `close`."""
        with self._lock:  # so that `close` sees the group, or no process starts
            process = None if self._is_closed else _start(argv, folder, env)
            group = {process.pid} if process else set()
            self._groups |= group
        try:
            yield process
        finally:
            with self._lock:
                self._groups -= group


def terminate_group(group: int, grace_seconds: float = GRACE_SECONDS) -> None:
    """Send SIGTERM to a process group, then SIGKILL to processes that are still alive after `grace_seconds`."""
    members = _members(group)
    _signal_group(group, signal.SIGTERM)
    wait_until_dead(members, grace_seconds)
    remaining = _members(group)
    if remaining:
        _signal_group(group, signal.SIGKILL)
        wait_until_dead(remaining, grace_seconds)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process exists and is not a zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until_dead(processes: Sequence[psutil.Process], timeout_seconds: float) -> None:
    """Return when no process is alive, or after the timeout."""
    # psutil.wait_procs would reap our own children, for which subprocess then reports exit code 0, and would wait for
    # zombies.
    deadline = time.monotonic() + timeout_seconds
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)


def _start(argv: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(arg) for arg in argv],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # so that its process id is also the id of its group
    )


def _terminate_leftovers(process: "subprocess.Popen[str]") -> None:
    """Terminate processes that outlive the command: they hold its output open and may still write to its files."""
    process.wait()
    terminate_group(process.pid)


class _Timeout:
    """Terminates a process group after some seconds. `expired` says whether it did."""

    def __init__(self, seconds: float, group: int) -> None:
        self.expired = False
        self._group = group
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        terminate_group(self._group)


def _members(group: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == group and is_alive(process):
                members.append(process)
    return members


def _signal_group(group: int, signal_number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal_number)


def _oom_kills() -> int:
    """Return how many processes Linux has killed for lack of memory since boot; 0 if that is not available."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
