"""The workspace of a run: an exclusive lease on it, temporary parameters, and recovery after a killed run.

Files in .dvc/tmp/boxline:

lease             locked by the process that owns the workspace; the operating system releases the lock when that
                  process ends, even if it is killed
owner.json        the owner of the lease. If the file exists while the lease is free, the previous run was killed
params.yaml       the user's own parameters during a run with overrides
params.run.json   SHA-256 sums of all contents of params.yaml that the run has written
dvc.lock          copy from the start of the run or after the last stage that completed
dvc.lock.corrupt  a dvc.lock that was truncated by a kill
"""

import contextlib
import hashlib
import json
import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from flows.overrides import overridden_params
from flows.processes import is_alive, wait_until_dead
from pipeline.core.atomic_files import atomic_write
from pipeline.core.config import PARAMS_FILE
from pipeline.core.dvc_lock import DVC_LOCK, is_complete_lock

logger = logging.getLogger(__name__)

WORKSPACE_VARIABLE = "BOXLINE_WORKSPACE"
"""Set in the environment of every process that a run starts, by which orphans of a killed run are found."""

LEASE_WAIT_SECONDS = 60
"""How long a run waits for the lease of housekeeping before it gives up."""

CLOCK_TOLERANCE_SECONDS = 1
"""Error of process start times as the operating system reports them."""

EDITED_MESSAGE = "params.yaml was edited during a run with overrides; keeping the edited version"


@dataclass(frozen=True)
class LeaseOwner:
    """The run that owns a workspace.

    Attributes:
        flow_run_id: of Prefect.
        name: of the run, for messages.
        host: name of the machine.
        process_id: on that machine.
        since: time in UTC, ISO 8601.
        others_wait: whether other runs wait for the lease instead of giving up; true for housekeeping.

    """

    flow_run_id: str
    name: str
    host: str
    process_id: int
    since: str
    others_wait: bool = False

    @classmethod
    def current_process(cls, flow_run_id: str, name: str, *, others_wait: bool = False) -> "LeaseOwner":
        """Return an owner for this process, starting now."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(flow_run_id, name, socket.gethostname(), os.getpid(), since, others_wait)

    def __str__(self) -> str:
        return f"{self.name} (process {self.process_id} on {self.host}) since {self.since}"


class WorkspaceLockedError(Exception):
    """Another run owns the workspace."""

    def __init__(self, owner: LeaseOwner | None) -> None:
        super().__init__(f"locked by {owner or 'an unknown process'}")


class Workspace:
    """The project in a folder, with the lease on it and what a run changes in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.state_dir = self.folder / ".dvc" / "tmp" / "boxline"
        self.params_file = self.folder / PARAMS_FILE
        self.lockfile = self.folder / DVC_LOCK
        self._owner_file = self.state_dir / "owner.json"
        self._user_params = self.state_dir / PARAMS_FILE
        self._run_params = self.state_dir / "params.run.json"
        self._lockfile_backup = self.state_dir / DVC_LOCK
        self._corrupt_lockfile = self.state_dir / f"{DVC_LOCK}.corrupt"

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for the processes of a run."""
        return {WORKSPACE_VARIABLE: str(self.folder)}

    @contextlib.contextmanager
    def acquire(self, owner: LeaseOwner) -> Iterator[LeaseOwner | None]:
        """Own the workspace until the block ends, after recovery from a killed run.

        Yields:
            The previous owner if it was killed, else None.

        Raises:
            WorkspaceLockedError: if another process owns the workspace; after a wait if that owner has `others_wait`.

        """
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with self._locked():
            killed = self._recover()
            self.backup_lockfile()
            _write(self._owner_file, json.dumps(asdict(owner)).encode())
            try:
                yield killed
            finally:
                self._restore_params()
                self._owner_file.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lease = FileLock(self.state_dir / "lease")
        try:
            lease.acquire(blocking=False)
        except Timeout:
            other = self._read_owner()
            if other is None or not other.others_wait:
                raise WorkspaceLockedError(other) from None
            try:
                lease.acquire(timeout=LEASE_WAIT_SECONDS)
            except Timeout:
                raise WorkspaceLockedError(self._read_owner()) from None
        try:
            yield
        finally:
            lease.release()

    def override_params(self, overrides: Sequence[str]) -> None:
        """Change values in params.yaml until the lease ends.

        Raises:
            BoxlineError: if an override is invalid.

        """
        run_digests = self._run_params_digests()
        if _digest(_read(self.params_file)) not in run_digests:  # the user's own, at the start or after an edit
            if run_digests:
                logger.warning(EDITED_MESSAGE)
            _copy(self.params_file, self._user_params)
        content = overridden_params(self.params_file, overrides)
        # After a kill between these two writes, params.yaml has the previous content, which is still in the list.
        _write(self._run_params, json.dumps([*run_digests, _digest(content)]).encode())
        _write(self.params_file, content)

    def _restore_params(self) -> None:
        """Restore the user's own parameters byte for byte, unless params.yaml was edited since the run wrote it."""
        if not self._user_params.exists():
            return
        content = _read(self.params_file)
        if content is None or _digest(content) in self._run_params_digests():
            _copy(self._user_params, self.params_file)
        elif content != _read(self._user_params):
            logger.warning(EDITED_MESSAGE)
        self._run_params.unlink(missing_ok=True)
        self._user_params.unlink()

    def _run_params_digests(self) -> list[str]:
        """Return the digests of what the run has written; a killed run may not have written the last."""
        content = _read(self._run_params)
        return list(json.loads(content)) if content else []

    def backup_lockfile(self) -> None:
        """Copy dvc.lock unless it is corrupt: DVC does not write it atomically."""
        content = _read(self.lockfile)
        if content is not None and is_complete_lock(content):
            _write(self._lockfile_backup, content)

    def _recover(self) -> LeaseOwner | None:
        """Terminate orphans of a killed run, remove its locks, restore dvc.lock and params.yaml.

        Returns:
            The owner that was killed, else None.

        """
        killed = self._read_owner()
        self._kill_orphans()
        self._remove_stale_rwlock()
        if killed and not is_complete_lock(_read(self.lockfile)):
            self._restore_lockfile()
        self._restore_params()
        for path in (self.lockfile, self.params_file, self._lockfile_backup, self._user_params, self._run_params):
            for partial in path.parent.glob(f".{path.stem}.partial*"):  # of `atomic_write`
                partial.unlink()
        return killed

    def _restore_lockfile(self) -> None:
        """Replace a corrupt dvc.lock, with which no DVC command would run, by its backup if there is one."""
        if self.lockfile.exists():
            self.lockfile.replace(self._corrupt_lockfile)
            logger.warning("dvc.lock was truncated; moved to %s", self._corrupt_lockfile.relative_to(self.folder))
        if self._lockfile_backup.exists():
            logger.warning("restored the dvc.lock of the last completed stage")
            _copy(self._lockfile_backup, self.lockfile)

    def _kill_orphans(self) -> None:
        """Kill the processes that a killed run has left behind, which would still write to outputs."""
        orphans = [process for process in psutil.process_iter() if self._is_orphan(process)]
        for process in orphans:
            logger.warning("killed process %d, an orphan of a killed run", process.pid)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        wait_until_dead(orphans, timeout_seconds=10)

    def _is_orphan(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            is_of_workspace = process.environ().get(WORKSPACE_VARIABLE) == str(self.folder)
            return is_of_workspace and process.pid != os.getpid() and is_alive(process)
        return False

    def _remove_stale_rwlock(self) -> None:
        """Remove DVC's rwlock if it names no living process: DVC counts zombies, and fails on a corrupt file."""
        path = self.folder / ".dvc" / "tmp" / "rwlock"
        try:
            locks = json.loads(path.read_text(encoding="utf-8"))
            readers = [info for infos in locks.get("read", {}).values() for info in infos]
            process_ids = {info["pid"] for info in [*readers, *locks.get("write", {}).values()] if info}
        except FileNotFoundError:
            return
        except (ValueError, AttributeError, KeyError, TypeError):
            process_ids = set()
        written_at = path.stat().st_mtime
        if not any(_has_lived_since(written_at, process_id) for process_id in process_ids):
            path.unlink()

    def _read_owner(self) -> LeaseOwner | None:
        try:
            return LeaseOwner(**json.loads(self._owner_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def _has_lived_since(timestamp: float, process_id: int) -> bool:
    """Return whether the process existed at that time and is alive: ids of ended processes are assigned again."""
    try:
        process = psutil.Process(process_id)
        return process.create_time() <= timestamp + CLOCK_TOLERANCE_SECONDS and is_alive(process)
    except psutil.NoSuchProcess:
        return False


def _read(path: Path) -> bytes | None:
    """Return the content of a file, or None if it does not exist."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _copy(source: Path, target: Path) -> None:
    _write(target, source.read_bytes())


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as partial:
        partial.write_bytes(content)
