"""A workspace in a folder: one holder at a time, and what a killed one leaves, put right by the next."""

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

from flows.processes import is_alive
from flows.workspace import WORKSPACE_VARIABLE, HeldError, Holder, Workspace
from tests.support.tiny_project import PROJECT

PARAMS = "# what the user wrote\nbatch_size: 8 # images\n"
CHANGED = "# what the user wrote\nbatch_size: 2 # images\n"
HALVED = "# what the user wrote\nbatch_size: 4 # images\n"
EDITED = "batch_size: 16\n"
OURS = Holder("run-2", "wise-owl", "laptop", 42, "2026-11-21T18:45:02+00:00")

HOLD = """
import sys
from pathlib import Path
from flows.workspace import Holder, Workspace

workspace = Workspace(Path.cwd())
is_brief, overrides = sys.argv[1] == "brief", sys.argv[2:]
with workspace.held(Holder("run-1", "bold-fox", "laptop", 41, "2026-11-21T18:45:00+00:00", is_brief)):
    if overrides:
        workspace.override(overrides)
    print("held", flush=True)
    input()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


@contextmanager
def holding(folder: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the workspace until a line comes, or until it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, *(words or ["long"])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def killed_holder(folder: Path, *words: str) -> None:
    """As kill -9 leaves the workspace."""
    with holding(folder, *words) as process:
        process.kill()


def params(folder: Path) -> str:
    return (folder / "params.yaml").read_text()


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in Workspace(folder).state.iterdir())


def test_whoever_holds_it_leaves_nothing_to_put_right(folder: Path) -> None:
    for _ in range(2):
        with Workspace(folder).held(OURS) as killed:
            assert killed is None
            assert json.loads((folder / ".dvc/tmp/boxline/holder.json").read_text())["name"] == "wise-owl"
    assert left_behind(folder) == ["lease"]


def test_it_is_given_back_by_a_run_that_fails(folder: Path) -> None:
    workspace = Workspace(folder)

    def fail() -> None:
        with workspace.held(OURS):
            workspace.override(["batch_size=2"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert params(folder) == PARAMS
    with workspace.held(OURS) as killed:
        assert killed is None


def test_a_second_holder_is_refused_and_told_who_and_since_when(folder: Path) -> None:
    with holding(folder):
        with pytest.raises(HeldError) as raised, Workspace(folder).held(OURS):
            pass
        assert str(raised.value) == "held by bold-fox (process 41 on laptop) since 2026-11-21T18:45:00+00:00"
        (folder / ".dvc/tmp/boxline/holder.json").write_text('{"flow_run')
        with pytest.raises(HeldError) as raised, Workspace(folder).held(OURS):
            pass
        assert str(raised.value) == "held by another process, which has not said who it is"


def test_the_refused_one_touches_nothing(folder: Path) -> None:
    with holding(folder, "long", "batch_size=2"):
        (folder / ".dvc/tmp/rwlock").write_text("{}")
        with pytest.raises(HeldError), Workspace(folder).held(OURS):
            pass
        assert (params(folder), (folder / ".dvc/tmp/rwlock").exists()) == (CHANGED, True)


def test_two_threads_of_a_process_do_not_hold_it_both(folder: Path) -> None:
    with Workspace(folder).held(OURS), ThreadPoolExecutor() as threads:

        def hold() -> None:
            with Workspace(folder).held(OURS):
                pass

        with pytest.raises(HeldError):
            threads.submit(hold).result()


def test_folders_do_not_hold_each_other(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with holding(folder), Workspace(tmp_path_factory.mktemp("other")).held(OURS) as killed:
        assert killed is None


class AskingWorkspace(Workspace):
    """Says when it has found another holder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.has_asked = threading.Event()

    def _read_holder(self) -> Holder | None:
        holder = super()._read_holder()
        self.has_asked.set()
        return holder


def test_housekeeping_is_waited_for(folder: Path) -> None:
    workspace = AskingWorkspace(folder)

    def hold() -> Holder | None:
        with workspace.held(OURS) as killed:
            return killed

    with holding(folder, "brief") as process, ThreadPoolExecutor() as threads:
        waiting = threads.submit(hold)
        workspace.has_asked.wait()
        process.communicate("\n")
        assert waiting.result() is None


def test_housekeeping_is_not_waited_for_forever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.workspace.BRIEF_SECONDS", 0.05)
    with holding(folder, "brief"), pytest.raises(HeldError, match="held by bold-fox"), Workspace(folder).held(OURS):
        pass


def test_the_next_one_learns_whom_it_follows_when_that_one_was_killed(folder: Path) -> None:
    killed_holder(folder)
    with Workspace(folder).held(OURS) as killed:
        assert killed == Holder("run-1", "bold-fox", "laptop", 41, "2026-11-21T18:45:00+00:00")
    with Workspace(folder).held(OURS) as killed:
        assert killed is None


@contextmanager
def sleeping(**variables: str) -> Iterator[psutil.Process]:
    """A process with these environment variables, in a session of its own."""
    words = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]
    environment = {**os.environ, **variables}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def test_what_a_killed_run_started_is_ended_and_nothing_else(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = Workspace(folder)
    elsewhere = {WORKSPACE_VARIABLE: f"{folder}-2"}
    with (
        holding(folder) as holder,
        sleeping(**workspace.variables) as orphan,
        sleeping(**elsewhere) as other,
        sleeping() as stranger,
    ):
        holder.kill()
        holder.wait()
        with workspace.held(OURS):
            assert [is_alive(process) for process in (orphan, other, stranger)] == [False, True, True]
        assert caplog.messages == [f"ended process {orphan.pid}, which a killed run left behind"]


def test_a_run_does_not_end_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow may be started by a process that has the variable, such as a stage of another run."""
    words = [sys.executable, "-c", HOLD, "long"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **Workspace(folder).variables}
    result = subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True, input="\n")
    assert result.stdout == "held\n"


def test_parameters_change_for_a_run_and_come_back(folder: Path) -> None:
    workspace = Workspace(folder)
    with workspace.held(OURS):
        workspace.override(["batch_size=4"])
        workspace.override(["batch_size=2"])
        assert params(folder) == CHANGED
    assert params(folder) == PARAMS
    assert left_behind(folder) == ["lease"]


def test_a_second_override_keeps_the_first(folder: Path) -> None:
    (folder / "params.yaml").write_text("a: 1\nb: 1\n")
    workspace = Workspace(folder)
    with workspace.held(OURS):
        workspace.override(["a=2"])
        workspace.override(["b=2"])
        assert params(folder) == "a: 2\nb: 2\n"
    assert params(folder) == "a: 1\nb: 1\n"


def test_parameters_come_back_after_a_kill(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed_holder(folder, "long", "batch_size=2")
    assert params(folder) == CHANGED
    with Workspace(folder).held(OURS):
        assert params(folder) == PARAMS
    assert caplog.messages == []


@pytest.mark.parametrize("is_killed", [False, True])
def test_parameters_that_somebody_edits_meanwhile_stay(
    folder: Path, caplog: pytest.LogCaptureFixture, is_killed: bool
) -> None:
    workspace = Workspace(folder)
    if is_killed:
        killed_holder(folder, "long", "batch_size=2")
        (folder / "params.yaml").write_text(EDITED)
    with workspace.held(OURS):
        if not is_killed:
            workspace.override(["batch_size=2"])
            (folder / "params.yaml").write_text(EDITED)
    assert params(folder) == EDITED
    assert caplog.messages == ["params.yaml was edited while a run had other values in it, so it stays as it is now"]
    assert left_behind(folder) == ["lease"]


def test_a_kill_right_before_the_new_parameters_changes_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace = Workspace(folder)
    workspace.state.mkdir(parents=True)
    (workspace.state / "params.yaml").write_text(PARAMS)
    with workspace.held(OURS):
        assert (params(folder), caplog.messages) == (PARAMS, [])


class CutError(Exception):
    """In place of a kill."""


@pytest.mark.parametrize(
    ("renames", "then"), [(0, PARAMS), (1, PARAMS), (2, PARAMS), (3, HALVED), (4, HALVED), (5, CHANGED)]
)
def test_a_kill_at_any_moment_of_new_parameters_changes_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture, renames: int, then: str
) -> None:
    """After the n-th rename of a file, by which what was written takes effect."""
    workspace = Workspace(folder)
    workspace.state.mkdir(parents=True)
    left = iter(range(renames))

    def replace(source: Path, target: Path) -> None:
        if next(left, None) is None:
            raise CutError
        source.rename(target)

    with pytest.MonkeyPatch.context() as patches, contextlib.suppress(CutError):
        patches.setattr(Path, "replace", replace)
        workspace.override(["batch_size=4"])
        workspace.override(["batch_size=2"])
    assert params(folder) == then
    with workspace.held(OURS):
        assert params(folder) == PARAMS
    assert caplog.messages == []
    assert left_behind(folder) == ["lease"]


def test_parameters_that_somebody_edits_before_the_batch_is_halved_stay(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = Workspace(folder)
    with workspace.held(OURS):
        workspace.override(["batch_size=4"])
        (folder / "params.yaml").write_text(EDITED)
        workspace.override(["batch_size=8"])
        assert params(folder) == "batch_size: 8\n"
        workspace.override(["batch_size=4"])
    assert params(folder) == EDITED
    assert caplog.messages == ["params.yaml was edited while a run had other values in it, so it stays as it is now"]
    assert left_behind(folder) == ["lease"]


def test_parameters_that_are_gone_come_back(folder: Path) -> None:
    """As after `git stash`, or an editor that replaces files and was killed."""
    killed_holder(folder, "long", "batch_size=2")
    (folder / "params.yaml").unlink()
    with Workspace(folder).held(OURS):
        assert params(folder) == PARAMS


LOCK = "schema: '2.0'\nstages:\n  one:\n    cmd: echo 1\n"


CUT_OFF = "dvc.lock was cut off: it is .dvc/tmp/boxline/dvc.lock.cut now"


@pytest.mark.parametrize(
    "cut",
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
def test_a_lock_that_was_cut_off_is_the_one_of_the_stage_before(
    folder: Path, caplog: pytest.LogCaptureFixture, cut: str
) -> None:
    (folder / "dvc.lock").write_text(LOCK)
    killed_holder(folder)  # before any stage had ended
    (folder / "dvc.lock").write_text(cut)
    with Workspace(folder).held(OURS):
        assert (folder / "dvc.lock").read_text() == LOCK
    assert (folder / ".dvc/tmp/boxline/dvc.lock.cut").read_text() == cut
    assert caplog.messages == [CUT_OFF, "took the dvc.lock of the stage before"]


def test_a_first_lock_that_was_cut_off_is_put_aside(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """DVC would refuse every later command."""
    killed_holder(folder)
    with Workspace(folder).held(OURS):
        assert caplog.messages == []
    killed_holder(folder)
    (folder / "dvc.lock").write_text(LOCK[:20])
    with Workspace(folder).held(OURS):
        assert not (folder / "dvc.lock").exists()
    assert (folder / ".dvc/tmp/boxline/dvc.lock.cut").read_text() == LOCK[:20]
    assert caplog.messages == [CUT_OFF]


def test_a_lock_that_is_whole_or_was_nobodys_to_mend_stays(folder: Path) -> None:
    workspace = Workspace(folder)
    (folder / "dvc.lock").write_text(LOCK)
    workspace.state.mkdir(parents=True)
    workspace.keep_lock()
    killed_holder(folder)
    (folder / "dvc.lock").write_text(LOCK.replace("1", "2"))  # another stage ended before the kill
    with workspace.held(OURS):
        assert (folder / "dvc.lock").read_text() == LOCK.replace("1", "2")
    (folder / "dvc.lock").write_text("<<<<<<< HEAD\n")  # a merge of the user's
    with workspace.held(OURS):
        assert (folder / "dvc.lock").read_text() == "<<<<<<< HEAD\n"


def test_a_lock_that_is_cut_off_is_not_remembered(folder: Path) -> None:
    workspace = Workspace(folder)
    workspace.state.mkdir(parents=True)
    for text in (LOCK, LOCK[:-5]):
        (folder / "dvc.lock").write_text(text)
        workspace.keep_lock()
    assert (workspace.state / "dvc.lock").read_text() == LOCK
    (folder / "dvc.lock").unlink()
    workspace.keep_lock()
    assert (workspace.state / "dvc.lock").read_text() == LOCK


@pytest.fixture
def zombie_id() -> Iterator[int]:
    """A process that has ended, and that nobody has asked about."""
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
    """DVC's own form: readers by path, and one writer."""
    return json.dumps({"read": {"/data/a": [{"pid": process_id, "cmd": "dvc repro"}]}})


def writing(process_id: int) -> str:
    return json.dumps({"write": {"/data/a": {"pid": process_id, "cmd": "dvc repro"}}, "read": {"/data/b": []}})


@pytest.mark.parametrize("locked", [reading, writing])
def test_locks_of_the_living_stay_and_those_of_the_dead_and_of_zombies_go(
    folder: Path, zombie_id: int, dead_id: int, locked: "type[reading]"
) -> None:
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(parents=True)
    for process_id, stays in [(os.getpid(), True), (zombie_id, False), (dead_id, False)]:
        rwlock.write_text(locked(process_id))
        with Workspace(folder).held(OURS):
            assert rwlock.exists() == stays


@pytest.mark.parametrize("locked", [reading, writing])
def test_locks_of_the_dead_go_also_where_their_number_is_a_later_process(folder: Path, locked: "type[reading]") -> None:
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(parents=True)
    started = psutil.Process().create_time()
    for written, stays in [(started - 60, False), (started, True)]:
        rwlock.write_text(locked(os.getpid()))
        os.utime(rwlock, (written, written))
        with Workspace(folder).held(OURS):
            assert rwlock.exists() == stays


@pytest.mark.parametrize("content", ['{"write": {"/da', "", "[]", '{"read": {"a": [1]}}', '{"write": {"a": {}}}', "{}"])
def test_locks_that_cannot_be_read_go(folder: Path, content: str) -> None:
    rwlock = folder / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(parents=True)
    rwlock.write_text(content)
    with Workspace(folder).held(OURS):
        assert not rwlock.exists()


def test_this_process_names_itself() -> None:
    holder = Holder.here("run-3", "calm-hen", is_brief=True)
    assert (holder.process_id, holder.is_brief) == (os.getpid(), True)
    assert re.fullmatch(
        rf"calm-hen \(process {os.getpid()} on \S+\) since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", str(holder)
    )
