"""Commands in process groups of their own, which end with everything that they started."""

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
"""Between the request to end and the end. A training keeps its last epoch whatever the moment."""

TAIL_LINES = 60
"""What is kept of the output to tell kinds of failures by."""


@dataclass(frozen=True)
class Ended:
    """How a command ended. `tail` is the end of its output."""

    return_code: int
    tail: str
    timed_out: bool = False
    oom_kills: int = 0


class Commands:
    """The commands of one run, which its threads start. At the end of the block all of them end, and none begins."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        self._are_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_all()

    def run(
        self,
        words: Sequence[str | Path],
        folder: Path,
        log: Path,
        tell: Callable[[str], None],
        timeout_seconds: float,
        variables: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run a command in `folder`, its output appended whole to the file `log` and told line by line.

        Output and errors come in one stream, in their order. A command that takes longer is ended with all its
        children. One that comes after `end_all` ends as if it had been among those, before it has begun.
        """
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        kills_before = _oom_kills()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file, self._started(words, folder, variables) as process:
            if process is None:
                return Ended(-signal.SIGTERM, "")
            rest = threading.Thread(target=_end_rest, args=(process,))
            timer = _Timer(timeout_seconds, process.pid)
            assert process.stdout is not None
            with timer, process.stdout as output:
                rest.start()
                try:
                    for line in output:
                        file.write(line)
                        file.flush()
                        tail.append(line)
                        tell(line.rstrip("\n"))
                except BaseException:  # nobody reads on, as where the disk of the log is full or the run is cancelled
                    end_group(process.pid)
                    raise
                finally:
                    rest.join()
        return Ended(process.returncode, "".join(tail), timer.ran_out, _oom_kills() - kills_before)

    def end_all(self) -> None:
        """End every command that runs, of all threads; those that come later do not begin."""
        with self._lock:
            self._are_over = True
            groups = list(self._groups)
        threads = [threading.Thread(target=end_group, args=(group,)) for group in groups]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @contextlib.contextmanager
    def _started(
        self, words: Sequence[str | Path], folder: Path, variables: Mapping[str, str] | None
    ) -> Iterator["subprocess.Popen[str] | None"]:
        """A process whose group is known until the block ends; None after `end_all`."""
        with self._lock:  # so that `end_all` comes before or after, never in between
            process = None if self._are_over else _start(words, folder, variables)
            group = {process.pid} if process else set()
            self._groups |= group
        try:
            yield process
        finally:
            with self._lock:
                self._groups -= group


def end_group(group: int, grace_seconds: float = GRACE_SECONDS) -> None:
    """Ask all processes of a group to end, wait, and kill what is left: a training may ignore the request."""
    members = _members(group)
    _signal_group(group, signal.SIGTERM)
    wait_for(members, grace_seconds)
    left = _members(group)
    if left:
        _signal_group(group, signal.SIGKILL)
        wait_for(left, grace_seconds)


def is_alive(process: psutil.Process) -> bool:
    """Whether it still does something: a zombie only waits to be counted."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_for(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Until none of them is alive, at most that long."""
    # psutil.wait_procs would take the exit codes of our own children away from subprocess, which then tells a 0,
    # and would wait for zombies.
    deadline = time.monotonic() + seconds
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)


def _start(words: Sequence[str | Path], folder: Path, variables: Mapping[str, str] | None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(word) for word in words],
        cwd=folder,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # its process id is that of its group
    )


def _end_rest(process: "subprocess.Popen[str]") -> None:
    """End what a command leaves behind: it would keep the output open, and write into the next command's outputs."""
    process.wait()
    end_group(process.pid)


class _Timer:
    """Ends a group after some seconds. `ran_out` tells whether it had to."""

    def __init__(self, seconds: float, group: int) -> None:
        self.ran_out = False
        self._group = group
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.ran_out = True
        end_group(self._group)


def _members(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == group and is_alive(process):
                found.append(process)
    return found


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _oom_kills() -> int:
    """How many processes Linux has killed for lack of memory since its start; 0 where that is not told."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
