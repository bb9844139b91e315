"""A workspace, which one run holds at a time, and what is put right after a run that was killed.

Below .dvc/tmp/boxline lie
lease           locked by the process that holds the workspace; the system unlocks it when that one ends, however
holder.json     who that is. It stays behind a killed run, and tells the next one that there is something to put right
params.yaml     the user's own parameters while a run has others, and params.run.json every text of those others
dvc.lock        as it was after the last stage that ended
dvc.lock.cut    one that was cut off by a kill, and put aside
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
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
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

EDITED = "params.yaml was edited while a run had other values in it, so it stays as it is now"

CLOCK_SECONDS = 1
"""How far the start of a process, as the system tells it, may be off."""


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
        self._params_of_run = self.state / "params.run.json"
        self._lock = self.state / LOCK
        self._cut_lock = self.state / f"{LOCK}.cut"

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
            self.keep_lock()
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
        texts_of_run = self._texts_of_run()
        if _text(self.folder / PARAMS) not in texts_of_run:  # the user's own, from the start or edited since
            if texts_of_run:
                logger.warning(EDITED)
            _copy(self.folder / PARAMS, self._params)
        text = overridden(self.folder / PARAMS, overrides)
        # A kill between the next two leaves the text before, which is still among those of the run.
        write_whole(self._params_of_run, json.dumps([*texts_of_run, text]))
        write_whole(self.folder / PARAMS, text)

    def _restore_params(self) -> None:
        """The user's own parameters, unless somebody has edited params.yaml since the run wrote it."""
        if not self._params.exists():
            return
        now = _text(self.folder / PARAMS)
        if now is None or now in self._texts_of_run():
            _copy(self._params, self.folder / PARAMS)
        elif now != self._params.read_text(encoding="utf-8"):
            logger.warning(EDITED)
        self._params_of_run.unlink(missing_ok=True)
        self._params.unlink()

    def _texts_of_run(self) -> list[str]:
        """What the run has written to params.yaml, and may have been about to write when it was killed."""
        text = _text(self._params_of_run)
        return list(json.loads(text)) if text else []

    def keep_lock(self) -> None:
        """Remember dvc.lock as it is, which DVC does not write whole or not at all."""
        text = _text(self.folder / LOCK)
        if _is_whole(text):
            write_whole(self._lock, text)

    def _heal(self) -> Holder | None:
        """Put right what a killed run left, if one was: processes, locks, a dvc.lock cut off, other parameters."""
        killed = self._read_holder()
        self._end_orphans()
        self._drop_dead_locks()
        if killed and not _is_whole(_text(self.folder / LOCK)):
            self._replace_lock()
        self._restore_params()
        for path in (self.folder / LOCK, self.folder / PARAMS, self._lock, self._params, self._params_of_run):
            _partial(path).unlink(missing_ok=True)
        return killed

    def _replace_lock(self) -> None:
        """Put dvc.lock aside, with which no stage could run, for that of the stage before, where there was one."""
        if (self.folder / LOCK).exists():
            (self.folder / LOCK).replace(self._cut_lock)
            logger.warning("dvc.lock was cut off: it is %s now", self._cut_lock.relative_to(self.folder))
        if self._lock.exists():
            logger.warning("took the dvc.lock of the stage before")
            _copy(self._lock, self.folder / LOCK)

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
        written = path.stat().st_mtime
        if not any(_has_lived_since(written, process_id) for process_id in process_ids):
            path.unlink()

    def _read_holder(self) -> Holder | None:
        try:
            return Holder(**json.loads(self._holder.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _write_holder(self, holder: Holder) -> None:
        write_whole(self._holder, json.dumps(asdict(holder)))


def _has_lived_since(time: float, process_id: int) -> bool:
    """Whether that process was there then and still is: the number of one that ended is another's after a while."""
    try:
        process = psutil.Process(process_id)
        return process.create_time() <= time + CLOCK_SECONDS and is_alive(process)
    except psutil.NoSuchProcess:
        return False


def _is_whole(lock: str | None) -> TypeGuard[str]:
    """Whether that is a dvc.lock which ends as DVC ends it, and which DVC takes."""
    try:
        return lock is not None and lock.endswith("\n") and "stages" in Lockfile.validate(YAML(typ="safe").load(lock))
    except (YAMLError, DvcException):
        return False


def _text(path: Path) -> str | None:
    """None where there is no such file, or no text in it."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _copy(source: Path, target: Path) -> None:
    write_whole(target, source.read_text(encoding="utf-8"))


def write_whole(target: Path, text: str) -> None:
    """Or not at all."""
    partial = _partial(target)
    partial.write_text(text, encoding="utf-8")
    partial.replace(target)


def _partial(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")
