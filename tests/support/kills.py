"""Stages that die at a chosen moment, without a clock.

A moment is the n-th time that Python opens, makes, renames, links or removes something below data/: SIGKILL ends the
whole process group just before it. The undisturbed run says how many there are; a fixed seed draws some of them.

Or it is the middle of a write, of whatever library: the system ends a process whose file grows beyond a limit.
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

# Python runs a module of this name at every start. In a stage it counts what happens to files below data/, and ends
# everything just before the n-th. What is removed with its folder is named relative to an open folder.
COUNT_AND_KILL = """
import atexit, os, resource, signal, sys

KINDS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.truncate"}
DATA = os.path.join(os.getcwd(), "data") + os.sep
LAST = int(os.environ["KILL_AT_EVENT"])
LARGEST_FILE_BYTES = int(os.environ["LARGEST_FILE_BYTES"])
seen = 0

def watch(event, words):
    global seen
    if event in KINDS and (is_below_data(words[0]) or (event in ("os.remove", "os.rmdir") and words[1] >= 0)):
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
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and goes on with an error
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, LARGEST_FILE_BYTES))
"""
NEVER = 0


@dataclass(frozen=True)
class Ended:
    """How a run of a stage ended. `events` is None for one that was killed."""

    killed: bool
    events: int | None
    log: str


@dataclass(frozen=True)
class StageCommand:
    """A stage of dvc.yaml with its arguments, to be run without DVC."""

    project: Path
    command: str
    outs: list[Path]

    @classmethod
    def of(cls, project: Path, name: str) -> "StageCommand":
        """The stage of that name, such as pack@coco_yolo."""
        with Repo(str(project)) as repo:
            [stage] = [stage for stage in repo.index.stages if stage.name == name]
            return cls(project, str(stage.cmd), [Path(out.fs_path) for out in stage.outs])

    def remove_outs(self) -> None:
        """As DVC does before it runs a stage, but for outputs that persist."""
        for out in self.outs:
            if out.is_dir():
                shutil.rmtree(out)
            else:
                out.unlink(missing_ok=True)

    def run(self, kill_at_event: int = NEVER, largest_file_bytes: int = NEVER) -> Ended:
        """To its end, to that event, counted from 1, or to the write that makes a file larger than that.

        A run that fails by itself is an AssertionError.
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
            assert process.returncode in (0, -signal.SIGKILL, 128 + signal.SIGXFSZ), process.stderr  # as sh tells it
            counted = int(events.read_text()) if events.exists() else None
            return Ended(process.returncode != 0, counted, process.stderr)

    def events(self) -> int:
        """How many moments an undisturbed run has."""
        count = self.run().events
        assert count is not None
        return count


def moments(events: int, count: int, seed: int) -> list[int]:
    """That many different events, in the order drawn; the last one of all is always among them: it ends the swap."""
    return [events, *random.Random(seed).sample(range(1, events), count - 1)]


def digests(project: Path) -> dict[str, str]:
    """Of every file that stages made, by path."""
    paths = [path for folder in ("data", "reports") for path in (project / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def largest_file_bytes(outs: list[Path]) -> int:
    """The size of the largest file in them."""
    return max(path.stat().st_size for out in outs for path in [out, *out.rglob("*")] if path.is_file())


def unfinished(project: Path) -> list[str]:
    """Files and folders with the names that they have before they are whole, or when they are given up."""
    return sorted(
        path.name for kind in ("partial*", "former", "waste") for path in (project / "data").rglob(f".*.{kind}")
    )
