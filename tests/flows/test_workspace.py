"""The lease on a workspace, and the recovery after an owner that was killed."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from flows.processes import is_alive
from flows.workspace import WORKSPACE_VARIABLE, LeaseOwner, Workspace, WorkspaceLockedError
from tests.support.tiny_project import PROJECT

PARAMS = "# a comment\nbatch_size: 8 # images\n"
CHANGED = "# a comment\nbatch_size: 2 # images\n"
HALVED = "# a comment\nbatch_size: 4 # images\n"
EDITED = "batch_size: 16\n"
OWNER = LeaseOwner("run-2", "wise-owl", "laptop", 42, "2026-11-21T18:45:02+00:00")

ACQUIRE = """
import sys
from pathlib import Path
from flows.workspace import LeaseOwner, Workspace

workspace = Workspace(Path.cwd())
others_wait, overrides = sys.argv[1] == "brief", sys.argv[2:]
with workspace.acquire(LeaseOwner("run-1", "bold-fox", "laptop", 41, "2026-11-21T18:45:00+00:00", others_wait)):
    if overrides:
        workspace.override_params(overrides)
    print("acquired", flush=True)
    input()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


@contextmanager
def other_owner(folder: Path, *args: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process that owns the workspace until it reads a line or is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", ACQUIRE, *(args or ["long"])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "acquired\n"
            yield process
        finally:
            process.kill()


def kill_owner(folder: Path, *args: str) -> None:
    """Leave the workspace as kill -9 does."""
    with other_owner(folder, *args) as process:
        process.kill()


def params(folder: Path) -> str:
    return (folder / "params.yaml").read_text()


def state_files(folder: Path) -> list[str]:
    return sorted(path.name for path in Workspace(folder).state_dir.iterdir())


def test_release_leaves_nothing_but_the_lease_file(folder: Path) -> None:
    for _ in range(2):
        with Workspace(folder).acquire(OWNER) as killed:
            assert killed is None
            assert json.loads((folder / ".dvc/tmp/boxline/owner.json").read_text())["name"] == "wise-owl"
    assert state_files(folder) == ["lease"]


def test_workspace_is_released_after_an_exception(folder: Path) -> None:
    workspace = Workspace(folder)

    def fail() -> None:
        with workspace.acquire(OWNER):
            workspace.override_params(["batch_size=2"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert params(folder) == PARAMS
    with workspace.acquire(OWNER) as killed:
        assert killed is None


def test_second_owner_is_rejected_with_the_name_of_the_first(folder: Path) -> None:
    with other_owner(folder):
        with pytest.raises(WorkspaceLockedError) as raised, Workspace(folder).acquire(OWNER):
            pass
        assert str(raised.value) == "locked by bold-fox (process 41 on laptop) since 2026-11-21T18:45:00+00:00"
        (folder / ".dvc/tmp/boxline/owner.json").write_text('{"flow_run')
        with pytest.raises(WorkspaceLockedError) as raised, Workspace(folder).acquire(OWNER):
            pass
        assert str(raised.value) == "locked by an unknown process"


def test_rejected_owner_changes_nothing(folder: Path) -> None:
    with other_owner(folder, "long", "batch_size=2"):
        (folder / ".dvc/tmp/rwlock").write_text("{}")
        with pytest.raises(WorkspaceLockedError), Workspace(folder).acquire(OWNER):
            pass
        assert (params(folder), (folder / ".dvc/tmp/rwlock").exists()) == (CHANGED, True)


def test_lease_excludes_other_threads_of_the_process(folder: Path) -> None:
    with Workspace(folder).acquire(OWNER), ThreadPoolExecutor() as threads:

        def acquire() -> None:
            with Workspace(folder).acquire(OWNER):
                pass

        with pytest.raises(WorkspaceLockedError):
            threads.submit(acquire).result()


def test_leases_of_other_folders_are_independent(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with other_owner(folder), Workspace(tmp_path_factory.mktemp("other")).acquire(OWNER) as killed:
        assert killed is None


class ObservedWorkspace(Workspace):
    """Signals that it has read the owner, before it waits."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.has_read_owner = threading.Event()

    def _read_owner(self) -> LeaseOwner | None:
        owner = super()._read_owner()
        self.has_read_owner.set()
        return owner


def test_lease_of_housekeeping_is_waited_for(folder: Path) -> None:
    workspace = ObservedWorkspace(folder)

    def acquire() -> LeaseOwner | None:
        with workspace.acquire(OWNER) as killed:
            return killed

    with other_owner(folder, "brief") as process, ThreadPoolExecutor() as threads:
        waiting = threads.submit(acquire)
        workspace.has_read_owner.wait()
        process.communicate("\n")
        assert waiting.result() is None


def test_wait_for_lease_of_housekeeping_has_a_timeout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.workspace.LEASE_WAIT_SECONDS", 0.05)
    with (
        other_owner(folder, "brief"),
        pytest.raises(WorkspaceLockedError, match="locked by bold-fox"),
        Workspace(folder).acquire(OWNER),
    ):
        pass


def test_next_owner_receives_killed_owner_once(folder: Path) -> None:
    kill_owner(folder)
    with Workspace(folder).acquire(OWNER) as killed:
        assert killed == LeaseOwner("run-1", "bold-fox", "laptop", 41, "2026-11-21T18:45:00+00:00")
    with Workspace(folder).acquire(OWNER) as killed:
        assert killed is None


@contextmanager
def sleeping(**env: str) -> Iterator[psutil.Process]:
    """A process with more environment variables, in a session of its own."""
    argv = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]
    with subprocess.Popen(argv, env={**os.environ, **env}, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def test_orphans_of_a_killed_run_are_killed_and_no_other_process(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = Workspace(folder)
    other_env = {WORKSPACE_VARIABLE: f"{folder}-2"}
    with (
        other_owner(folder) as owner,
        sleeping(**workspace.env) as orphan,
        sleeping(**other_env) as of_other_workspace,
        sleeping() as unrelated,
    ):
        owner.kill()
        owner.wait()
        with workspace.acquire(OWNER):
            assert [is_alive(process) for process in (orphan, of_other_workspace, unrelated)] == [False, True, True]
        assert caplog.messages == [f"killed process {orphan.pid}, an orphan of a killed run"]


def test_own_process_is_not_treated_as_an_orphan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow inherits the variable if it is started by a stage of another run."""
    argv = [sys.executable, "-c", ACQUIRE, "long"]
    env = {**os.environ, "PYTHONPATH": str(PROJECT), **Workspace(folder).env}
    result = subprocess.run(argv, cwd=folder, env=env, check=True, capture_output=True, text=True, input="\n")
    assert result.stdout == "acquired\n"


def test_overridden_params_are_restored_on_release(folder: Path) -> None:
    workspace = Workspace(folder)
    with workspace.acquire(OWNER):
        workspace.override_params(["batch_size=4"])
        workspace.override_params(["batch_size=2"])
        assert params(folder) == CHANGED
    assert params(folder) == PARAMS
    assert state_files(folder) == ["lease"]


@settings(max_examples=30)
@given(
    st.sampled_from(["", "\ufeff"]),
    st.lists(st.sampled_from(["\n", "\r\n"]), min_size=3, max_size=3),
    st.sampled_from(["# ü", "# a\r# b", "# tab\t ", "#\u2028", "#\u0085"]),
    st.sampled_from(["", "\n", "\r\n", "\n\n\n", "\r"]),
    st.booleans(),
)
def test_params_are_restored_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, mark: str, ends: list[str], comment: str, end: str, is_killed: bool
) -> None:
    """Line ends of Windows, of both kinds and of old Macs, a byte order mark, a last line without an end."""
    folder = tmp_path_factory.mktemp("project")
    lines = [comment, "batch_size:   8 # images", "'name': \"a\"  "]
    content = (mark + "".join(line + end for line, end in zip(lines, ends, strict=True)) + "seed: 1" + end).encode()
    (folder / "params.yaml").write_bytes(content)
    workspace = Workspace(folder)
    if is_killed:
        workspace.state_dir.mkdir(parents=True)
        workspace.override_params(["batch_size=4", "name=b"])
    with workspace.acquire(OWNER):
        assert (folder / "params.yaml").read_bytes() == content
        workspace.override_params(["batch_size=2"])
        changed = YAML(typ="safe", pure=True).load(folder / "params.yaml")
        assert changed == {"batch_size": 2, "name": "a", "seed": 1}
    assert (folder / "params.yaml").read_bytes() == content


def test_params_that_are_no_utf_8_stay_as_they_are(folder: Path) -> None:
    """A user's edit during a run that was killed."""
    kill_owner(folder, "long", "batch_size=2")
    (folder / "params.yaml").write_bytes(b"batch_size: 4 # caf\xe9\n")
    with Workspace(folder).acquire(OWNER):
        pass
    assert (folder / "params.yaml").read_bytes() == b"batch_size: 4 # caf\xe9\n"


def test_second_override_keeps_the_first(folder: Path) -> None:
    (folder / "params.yaml").write_text("a: 1\nb: 1\n")
    workspace = Workspace(folder)
    with workspace.acquire(OWNER):
        workspace.override_params(["a=2"])
        workspace.override_params(["b=2"])
        assert params(folder) == "a: 2\nb: 2\n"
    assert params(folder) == "a: 1\nb: 1\n"


def test_overridden_params_are_restored_after_a_kill(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    kill_owner(folder, "long", "batch_size=2")
    assert params(folder) == CHANGED
    with Workspace(folder).acquire(OWNER):
        assert params(folder) == PARAMS
    assert caplog.messages == []


@pytest.mark.parametrize("is_killed", [False, True])
def test_edits_of_overridden_params_are_kept(folder: Path, caplog: pytest.LogCaptureFixture, is_killed: bool) -> None:
    workspace = Workspace(folder)
    if is_killed:
        kill_owner(folder, "long", "batch_size=2")
        (folder / "params.yaml").write_text(EDITED)
    with workspace.acquire(OWNER):
        if not is_killed:
            workspace.override_params(["batch_size=2"])
            (folder / "params.yaml").write_text(EDITED)
    assert params(folder) == EDITED
    assert caplog.messages == ["params.yaml was edited during a run with overrides; keeping the edited version"]
    assert state_files(folder) == ["lease"]


def test_kill_before_params_are_written_changes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = Workspace(folder)
    workspace.state_dir.mkdir(parents=True)
    (workspace.state_dir / "params.yaml").write_text(PARAMS)
    with workspace.acquire(OWNER):
        assert (params(folder), caplog.messages) == (PARAMS, [])


class SimulatedKillError(Exception):
    """Raised in place of a kill."""


@pytest.mark.parametrize(
    ("renames", "text"), [(0, PARAMS), (1, PARAMS), (2, PARAMS), (3, HALVED), (4, HALVED), (5, CHANGED)]
)
def test_kill_between_any_two_writes_of_an_override_is_recovered(
    folder: Path, caplog: pytest.LogCaptureFixture, renames: int, text: str
) -> None:
    """A kill after the n-th rename, by which an atomic write takes effect."""
    workspace = Workspace(folder)
    workspace.state_dir.mkdir(parents=True)
    remaining = iter(range(renames))

    def replace(source: Path, target: Path) -> None:
        if next(remaining, None) is None:
            raise SimulatedKillError
        source.rename(target)

    with pytest.MonkeyPatch.context() as patches, contextlib.suppress(SimulatedKillError):
        patches.setattr(Path, "replace", replace)
        patches.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process removes no partial file either
        workspace.override_params(["batch_size=4"])
        workspace.override_params(["batch_size=2"])
    assert params(folder) == text
    with workspace.acquire(OWNER):
        assert params(folder) == PARAMS
    assert caplog.messages == []
    assert (state_files(folder), list(folder.glob(".*.partial*"))) == (["lease"], [])


def test_edits_between_two_overrides_are_kept(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = Workspace(folder)
    with workspace.acquire(OWNER):
        workspace.override_params(["batch_size=4"])
        (folder / "params.yaml").write_text(EDITED)
        workspace.override_params(["batch_size=8"])
        assert params(folder) == "batch_size: 8\n"
        workspace.override_params(["batch_size=4"])
    assert params(folder) == EDITED
    assert caplog.messages == ["params.yaml was edited during a run with overrides; keeping the edited version"]
    assert state_files(folder) == ["lease"]


def test_deleted_params_are_restored(folder: Path) -> None:
    """As after an editor was killed that replaces files."""
    kill_owner(folder, "long", "batch_size=2")
    (folder / "params.yaml").unlink()
    with Workspace(folder).acquire(OWNER):
        assert params(folder) == PARAMS


LOCK = "schema: '2.0'\nstages:\n  one:\n    cmd: echo 1\n"


TRUNCATED = "dvc.lock was truncated; moved to .dvc/tmp/boxline/dvc.lock.corrupt"


@pytest.mark.parametrize(
    "corrupt",
    [
        "",
        LOCK[:-1],
        LOCK[:20],
        "schema: '2.0'\n",
        "schema: '2.0'\nstages:\n",
        LOCK + "    outs:\n",
        "- 1\n",
        "stages: [\n",
        "\x00\n",
    ],
)
def test_corrupt_lockfile_is_replaced_by_the_backup(
    folder: Path, caplog: pytest.LogCaptureFixture, corrupt: str
) -> None:
    (folder / "dvc.lock").write_text(LOCK)
    kill_owner(folder)  # before any stage had completed
    (folder / "dvc.lock").write_text(corrupt)
    with Workspace(folder).acquire(OWNER):
        assert (folder / "dvc.lock").read_text() == LOCK
    assert (folder / ".dvc/tmp/boxline/dvc.lock.corrupt").read_text() == corrupt
    assert caplog.messages == [TRUNCATED, "restored the dvc.lock of the last completed stage"]


def test_corrupt_lockfile_without_a_backup_is_moved_away(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a corrupt dvc.lock every DVC command fails."""
    kill_owner(folder)
    with Workspace(folder).acquire(OWNER):
        assert caplog.messages == []
    kill_owner(folder)
    (folder / "dvc.lock").write_text(LOCK[:20])
    with Workspace(folder).acquire(OWNER):
        assert not (folder / "dvc.lock").exists()
    assert (folder / ".dvc/tmp/boxline/dvc.lock.corrupt").read_text() == LOCK[:20]
    assert caplog.messages == [TRUNCATED]


def test_complete_lockfile_and_one_with_a_merge_conflict_are_kept(folder: Path) -> None:
    workspace = Workspace(folder)
    (folder / "dvc.lock").write_text(LOCK)
    workspace.state_dir.mkdir(parents=True)
    workspace.backup_lockfile()
    kill_owner(folder)
    (folder / "dvc.lock").write_text(LOCK.replace("1", "2"))  # another stage completed before the kill
    with workspace.acquire(OWNER):
        assert (folder / "dvc.lock").read_text() == LOCK.replace("1", "2")
    (folder / "dvc.lock").write_text("<<<<<<< HEAD\n")  # no run was killed: a merge conflict of the user's
    with workspace.acquire(OWNER):
        assert (folder / "dvc.lock").read_text() == "<<<<<<< HEAD\n"


def test_truncated_lockfile_is_not_backed_up(folder: Path) -> None:
    workspace = Workspace(folder)
    workspace.state_dir.mkdir(parents=True)
    for text in (LOCK, LOCK[:-5]):
        (folder / "dvc.lock").write_text(text)
        workspace.backup_lockfile()
    assert (workspace.state_dir / "dvc.lock").read_text() == LOCK
    (folder / "dvc.lock").unlink()
    workspace.backup_lockfile()
    assert (workspace.state_dir / "dvc.lock").read_text() == LOCK


@pytest.fixture
def zombie_id() -> Iterator[int]:
    """The id of a process that has ended and was not reaped."""
    process = subprocess.Popen(["true"])
    while is_alive(psutil.Process(process.pid)):
        os.sched_yield()
    yield process.pid
    process.wait()


@pytest.fixture
def dead_id() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def reading(process_id: int) -> str:
    """DVC's rwlock with a reader."""
    return json.dumps({"read": {"/data/a": [{"pid": process_id, "cmd": "dvc repro"}]}})


def writing(process_id: int) -> str:
    """DVC's rwlock with a writer."""
    return json.dumps({"write": {"/data/a": {"pid": process_id, "cmd": "dvc repro"}}, "read": {"/data/b": []}})


@pytest.mark.parametrize("locked", [reading, writing])
def test_rwlock_is_removed_unless_its_process_is_alive(
    folder: Path, zombie_id: int, dead_id: int, locked: "type[reading]"
) -> None:
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(parents=True)
    for process_id, is_kept in [(os.getpid(), True), (zombie_id, False), (dead_id, False)]:
        rwlock.write_text(locked(process_id))
        with Workspace(folder).acquire(OWNER):
            assert rwlock.exists() == is_kept


@pytest.mark.parametrize("locked", [reading, writing])
def test_rwlock_older_than_the_process_of_that_id_is_removed(folder: Path, locked: "type[reading]") -> None:
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(parents=True)
    started = psutil.Process().create_time()
    for written, is_kept in [(started - 60, False), (started, True)]:
        rwlock.write_text(locked(os.getpid()))
        os.utime(rwlock, (written, written))
        with Workspace(folder).acquire(OWNER):
            assert rwlock.exists() == is_kept


@pytest.mark.parametrize("content", ['{"write": {"/da', "", "[]", '{"read": {"a": [1]}}', '{"write": {"a": {}}}', "{}"])
def test_corrupt_rwlock_is_removed(folder: Path, content: str) -> None:
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(parents=True)
    rwlock.write_text(content)
    with Workspace(folder).acquire(OWNER):
        assert not rwlock.exists()


def test_current_process_is_described() -> None:
    owner = LeaseOwner.current_process("run-3", "calm-hen", others_wait=True)
    assert (owner.process_id, owner.others_wait) == (os.getpid(), True)
    assert re.fullmatch(
        rf"calm-hen \(process {os.getpid()} on \S+\) since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", str(owner)
    )
