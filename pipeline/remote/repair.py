"""Repair of the DVC remote: missing objects are uploaded from the cache or the workspace, or built again."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.remote.audit import RemoteAudit, RemoteStore, open_store
from pipeline.remote.objects import DIRECTORY_SUFFIX, ExpectedObject, file_has_hash

REBUILD = ("repro", "--single-item", "--force")
"""Arguments of DVC that run a stage even if nothing has changed. DVC ignores --pull if --force is given."""

Report = Callable[[str], None]


class Repair:
    """Restores missing and corrupt objects of a remote and reports each action in a line.

    It handles one stage at a time in the pipeline's order, and repeats the audit after each: a restored listing may
    reveal further missing files, and one stage may restore several objects. Running a stage deletes its outputs first,
    so everything that this machine has of them is uploaded before.
    """

    def __init__(self, remote: str | None, report: Report) -> None:
        self._remote = remote
        self._report = report
        self._uploaded: set[str] = set()
        self._rebuilt: dict[str, list[ExpectedObject]] = {}
        self._is_identical = True

    def run(self) -> bool:
        """Repair what can be repaired; return whether every object is back with its original content."""
        while True:
            with open_store(self._remote) as store:
                audit = store.audit()
                self._report_different(audit)
                if self._upload_all(store, audit):
                    continue
                stage = self._next_stage(store, audit)
                if stage is None:
                    for missing in audit.missing:
                        self._report(_lost_message(missing.expected))
                    return self._is_identical and not audit.missing
                self._announce(stage, audit)
                dependencies, name = store.missing_dependencies(stage), store.name
            if not dependencies or self._run_dvc("pull", "--remote", name, *dependencies):
                self._run_dvc(*REBUILD, stage)

    def _upload_all(self, store: RemoteStore, audit: RemoteAudit) -> bool:
        """Upload the missing objects that this machine has, each at most once; return whether there were any."""
        candidates = [missing for missing in audit.missing if missing.expected.oid not in self._uploaded]
        if not candidates:
            return False
        sources = store.map_parallel(lambda missing: self._upload(store, missing.expected), candidates)
        rebuilt_by = {expected.oid: stage for stage, objects in self._rebuilt.items() for expected in objects}
        for missing, source in zip(candidates, sources, strict=True):
            if source:
                oid = missing.expected.oid
                self._uploaded.add(oid)
                is_rebuilt = oid in rebuilt_by
                action = f"rebuilt by {rebuilt_by[oid]}, identical" if is_rebuilt else f"uploaded from the {source}"
                self._report(f"{missing.expected} {missing.reason}: {action}")
        return any(sources)

    def _upload(self, store: RemoteStore, expected: ExpectedObject) -> str | None:
        """Upload an object from the cache or the workspace and return which; None if neither has an intact copy.

        A corrupt file in the cache is removed, since DVC would keep using it.
        """
        cached = store.cache_path(expected.oid)
        if cached.is_file():
            if file_has_hash(cached, expected.oid):
                store.upload(cached, expected.oid)
                return "cache"
            cached.unlink()
            self._report(f"{expected}: the cache's copy is corrupt; removed")
        if any(_upload_from(store, Path(location.path), expected.oid) for location in expected.locations):
            return "workspace"
        return None

    def _next_stage(self, store: RemoteStore, audit: RemoteAudit) -> str | None:
        producers = {missing.expected.producer for missing in audit.missing} - {None, *self._rebuilt}
        return store.first_in_order(producers) if producers else None

    def _announce(self, stage: str, audit: RemoteAudit) -> None:
        objects = [missing for missing in audit.missing if missing.expected.producer == stage]
        for missing in objects:
            self._report(f"{missing.expected} {missing.reason}: not on this machine; rebuilding it")
        self._rebuilt[stage] = [missing.expected for missing in objects]

    def _report_different(self, audit: RemoteAudit) -> None:
        """Report objects that dvc.lock no longer refers to because their stage built something else this time."""
        for stage, objects in self._rebuilt.items():
            for expected in objects:
                if expected.oid not in audit.objects:
                    self._is_identical = False
                    self._report(_different_message(expected))
            self._rebuilt[stage] = [expected for expected in objects if expected.oid in audit.objects]

    def _run_dvc(self, *args: str) -> bool:
        """Run DVC and return whether it succeeded. Its output is not captured, since stages may run for long."""
        result = subprocess.run([sys.executable, "-m", "dvc", *args], check=False, stdout=sys.stderr)
        if result.returncode:
            self._report(f"`dvc {shlex.join(args)}` failed with exit code {result.returncode}, see above.")
        return result.returncode == 0


def _upload_from(store: RemoteStore, path: Path, oid: str) -> bool:
    """Upload a file or folder of the workspace if it is the object; return whether it is."""
    if oid.endswith(DIRECTORY_SUFFIX):
        return store.upload_listing(path, oid)
    if not path.is_file() or not file_has_hash(path, oid):
        return False
    store.upload(path, oid)
    return True


def _different_message(expected: ExpectedObject) -> str:
    return (
        f"{expected} cannot be restored, since its stage built something different: code, parameters, packages or "
        "sources have changed, or the stage is not deterministic. dvc.lock now refers to the new output. Run `dvc "
        "repro` for the stages that depend on it, then `dvc push` and `boxline record`."
    )


def _lost_message(expected: ExpectedObject) -> str:
    if expected.producer:
        return f"{expected} is still missing. Once its stage works again: dvc repro {expected.producer} && dvc push"
    location = expected.locations[0]
    return (
        f"{expected} is lost: no stage builds it. Restore {location.path}, then: "
        f"dvc commit {location.stage} && dvc push"
    )
