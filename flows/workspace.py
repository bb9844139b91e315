"""A workspace, which one run holds at a time, and what is put right after a run that was killed.

Below .dvc/tmp/boxline lie
lease           locked by the process that holds the workspace; the system unlocks it when that one ends, however
holder.json     who that is. It stays behind a killed run, and tells the next one that there is something to put right
params.yaml     the user's own parameters while a run has others, and params.run.yaml those others
dvc.lock        as it was after the last stage that ended
"""

import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeGuard

import psutil
from filelock import FileLock, Timeout
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.overrides import PARAMS, overridden
from flows.processes import is_alive, wait_for

logger = logging.getLogger(__name__)

WORKSPACE_VARIABLE = "BOXLINE_WORKSPACE"
"""In the environment of every process that a run starts: by it those of a killed run are found."""

LOCK = "dvc.lock"

BRIEF_SECONDS = 60
"""How long a run waits for housekeeping to end."""


@dataclass(frozen=True)
class Holder:
    """Who holds a workspace. `since` is a time in UTC, ISO 8601; the run is None for one without a server."""

    flow_run_id: str | None
    name: str
    host: str
    process_id: int
    since: str
    is_brief: bool = False
    """Whether it is worth waiting for: housekeeping, which takes a moment."""

    @classmethod
    def here(cls, flow_run_id: str | None, name: str, *, is_brief: bool = False) -> "Holder":
        """Held by this process, from now on."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(flow_run_id, name, socket.gethostname(), os.getpid(), since, is_brief)

    def __str__(self) -> str:
        return f"{self.name} (process {self.process_id} on {self.host}) since {self.since}"


class HeldError(Exception):
    """Another run holds the workspace."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(f"held by {holder}" if holder else "held by another process, which has not said who it is")


class Workspace:
    """The project in `folder`, as one run has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.state = self.folder / ".dvc" / "tmp" / "boxline"
        self._holder = self.state / "holder.json"
        self._params = self.state / PARAMS
        self._params_of_run = self.state / "params.run.yaml"
        self._lock = self.state / LOCK

    @property
    def variables(self) -> dict[str, str]:
        """For the environment of what a run starts."""
        return {WORKSPACE_VARIABLE: str(self.folder)}

    @contextlib.contextmanager
    def held(self, holder: Holder) -> Iterator[Holder | None]:
        """Hold the workspace; yields the killed run that held it before, if there is one, once all is put right.

        Raises HeldError where another process holds it: at once, unless that one is brief.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        with self._leased():
            killed = self._heal()
            self._write_holder(holder)
            try:
                yield killed
            finally:
                self._restore_params()
                self._holder.unlink()

    @contextlib.contextmanager
    def _leased(self) -> Iterator[None]:
        lease = FileLock(self.state / "lease")
        try:
            lease.acquire(blocking=False)
        except Timeout:
            other = self._read_holder()
            if other is None or not other.is_brief:
                raise HeldError(other) from None
            try:
                lease.acquire(timeout=BRIEF_SECONDS)
            except Timeout:
                raise HeldError(self._read_holder()) from None
        try:
            yield
        finally:
            lease.release()

    def override(self, overrides: Sequence[str]) -> None:
        """Other values in params.yaml until the run ends."""
        if not self._params.exists():
            _copy(self.folder / PARAMS, self._params)
        text = overridden(self.folder / PARAMS, overrides)
        _write(self._params_of_run, text)
        _write(self.folder / PARAMS, text)

    def _restore_params(self) -> None:
        """The user's own parameters, unless somebody has edited params.yaml since the run wrote it."""
        if not self._params.exists():
            return
        now, of_run = (_text(path) for path in (self.folder / PARAMS, self._params_of_run))
        if now is None or now == of_run:
            _copy(self._params, self.folder / PARAMS)
        elif now != self._params.read_text(encoding="utf-8"):
            logger.warning("params.yaml was edited while a run had other values in it, so it stays as it is now")
        self._params_of_run.unlink(missing_ok=True)
        self._params.unlink()

    def keep_lock(self) -> None:
        """Remember dvc.lock as it is, which DVC does not write whole or not at all."""
        text = _text(self.folder / LOCK)
        if _is_whole(text):
            _write(self._lock, text)

    def _heal(self) -> Holder | None:
        """Put right what a killed run left, if one was: processes, locks, a dvc.lock cut off, other parameters."""
        killed = self._read_holder()
        self._end_orphans()
        self._drop_dead_locks()
        if killed and self._lock.exists() and not _is_whole(_text(self.folder / LOCK)):
            logger.warning("dvc.lock was cut off: took the one of the stage before")
            _copy(self._lock, self.folder / LOCK)
        self._restore_params()
        return killed

    def _end_orphans(self) -> None:
        """Kill what a killed run started and left behind: it would go on writing into the outputs."""
        orphans = [process for process in psutil.process_iter() if self._is_orphan(process)]
        for process in orphans:
            logger.warning("ended process %d, which a killed run left behind", process.pid)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        wait_for(orphans, seconds=10)

    def _is_orphan(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            started_here = process.environ().get(WORKSPACE_VARIABLE) == str(self.folder)
            return started_here and process.pid != os.getpid() and is_alive(process)
        return False

    def _drop_dead_locks(self) -> None:
        """DVC's list of who reads and writes what: it takes zombies for living, and cannot read half a file."""
        path = self.folder / ".dvc" / "tmp" / "rwlock"
        try:
            locks = json.loads(path.read_text(encoding="utf-8"))
            readers = [info for infos in locks.get("read", {}).values() for info in infos]
            process_ids = {info["pid"] for info in [*readers, *locks.get("write", {}).values()] if info}
        except FileNotFoundError:
            return
        except (ValueError, AttributeError, KeyError, TypeError):
            process_ids = set()
        if not any(_lives(process_id) for process_id in process_ids):
            path.unlink()

    def _read_holder(self) -> Holder | None:
        try:
            return Holder(**json.loads(self._holder.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _write_holder(self, holder: Holder) -> None:
        _write(self._holder, json.dumps(asdict(holder)))


def _lives(process_id: int) -> bool:
    try:
        return is_alive(psutil.Process(process_id))
    except psutil.NoSuchProcess:
        return False


def _is_whole(lock: str | None) -> TypeGuard[str]:
    """Whether that is a dvc.lock which ends as DVC ends it."""
    try:
        return lock is not None and lock.endswith("\n") and isinstance(YAML(typ="safe").load(lock), dict)
    except YAMLError:
        return False


def _text(path: Path) -> str | None:
    """None where there is no such file, or no text in it."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _copy(source: Path, target: Path) -> None:
    _write(target, source.read_text(encoding="utf-8"))


def _write(target: Path, text: str) -> None:
    """Whole or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(target)
