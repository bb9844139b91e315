"""Stages that are killed at reproducible points, independent of time.

A point is an event: the n-th time that Python opens, creates, renames, links or removes something below data/. SIGKILL
ends the whole process group just before it. An undisturbed run counts the events; a fixed seed samples some of them.

Or the point is the middle of a write by any library: the system kills a process whose file grows beyond a limit.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dvc.repo import Repo

# The content of sitecustomize.py, which Python runs at every start. In a stage it counts the file events below data/
# and kills the process group just before the n-th. Files that are removed with their folder have relative names.
COUNT_AND_KILL = """
import atexit, os, resource, signal, sys

KINDS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
DATA = os.path.join(os.getcwd(), "data") + os.sep
LAST = int(os.environ["KILL_AT_EVENT"])
LARGEST_FILE_BYTES = int(os.environ["LARGEST_FILE_BYTES"])
seen = 0

def watch(event, arguments):
    global seen
    if event in KINDS and (is_below_data(arguments[0]) or (event in ("os.remove", "os.rmdir") and arguments[1] >= 0)):
        seen += 1
        if seen == LAST:
            os.killpg(0, signal.SIGKILL)

def is_below_data(path):
    return isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(DATA)

def report():
    with open(os.environ["EVENTS_FILE"], "w") as file:
        file.write(str(seen))

if any(word.startswith("pipeline.stages.") for word in sys.orig_argv):
    sys.addaudithook(watch)
    atexit.register(report)
    if LARGEST_FILE_BYTES:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores the signal by default
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES))
"""
NEVER = 0


@dataclass(frozen=True)
class StageResult:
    """The result of a run of a stage. `events` is None if it was killed."""

    killed: bool
    events: int | None
    log: str


@dataclass(frozen=True)
class StageCommand:
    """The command of a stage in dvc.yaml, to be run without DVC."""

    project: Path
    command: str
    outs: list[Path]

    @classmethod
    def of(cls, project: Path, name: str) -> "StageCommand":
        """Return the command of the stage with that name, such as pack@coco_yolo."""
        with Repo(str(project)) as repo:
            [stage] = [stage for stage in repo.index.stages if stage.name == name]
            return cls(project, str(stage.cmd), [Path(out.fs_path) for out in stage.outs])

    def remove_outs(self) -> None:
        """Delete the outputs, as DVC does before it runs a stage whose outputs do not persist."""
        for out in self.outs:
            if out.is_dir():
                shutil.rmtree(out)
            else:
                out.unlink(missing_ok=True)

    def run(self, kill_at_event: int = NEVER, largest_file_bytes: int = NEVER) -> StageResult:
        """Run the stage to its end, or until it is killed.

        Args:
            kill_at_event: the event before which it is killed, counted from 1.
            largest_file_bytes: the file size beyond which it is killed.

        Raises:
            AssertionError: if the stage fails by itself.

        """
        with tempfile.TemporaryDirectory() as temporary:
            (Path(temporary) / "sitecustomize.py").write_text(COUNT_AND_KILL)
            events = Path(temporary) / "events"
            environment = {
                **os.environ,
                "VIRTUAL_ENV": sys.prefix,
                "PYTHONPATH": temporary,
                "KILL_AT_EVENT": str(kill_at_event),
                "LARGEST_FILE_BYTES": str(largest_file_bytes),
                "EVENTS_FILE": str(events),
            }
            process = subprocess.run(
                ["/bin/sh", "-c", self.command],
                cwd=self.project,
                env=environment,
                start_new_session=True,
                check=False,
                capture_output=True,
                text=True,
            )
            assert process.returncode in (0, -signal.SIGKILL, 128 + signal.SIGXFSZ), (
                process.stderr
            )  # the last one is how sh reports SIGXFSZ
            counted = int(events.read_text()) if events.exists() else None
            return StageResult(process.returncode != 0, counted, process.stderr)

    def events(self) -> int:
        """Return the number of events of an undisturbed run."""
        count = self.run().events
        assert count is not None
        return count


def sample_events(events: int, count: int, seed: int) -> list[int]:
    """Sample that many different events in random order. The last one, which ends the swap of folders, is included."""
    return [events, *random.Random(seed).sample(range(1, events), count - 1)]


def output_checksums(project: Path) -> dict[str, str]:
    """Return the SHA-256 sum of every file that stages wrote, by path."""
    paths = [path for folder in ("data", "reports") for path in (project / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def largest_file_bytes(outs: list[Path]) -> int:
    """Return the size of the largest file in these outputs."""
    return max(path.stat().st_size for out in outs for path in [out, *out.rglob("*")] if path.is_file())


def temporary_names(project: Path) -> list[str]:
    """Return the names of hidden files and folders below data/, which atomic writes use until they are complete."""
    return sorted(path.name for path in (project / "data").rglob(".*") if path.name != ".gitignore")
