"""Mending a remote: from the cache, from the workspace, or by running the stage again that made what is lost."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.remote.audit import FOLDER, ExpectedObject, RemoteAudit, Store, file_has_content, open_store

REBUILD = ("repro", "--single-item", "--force")
"""Words for DVC: the stage runs whatever is there. With --force, DVC takes no notice of --pull."""

Say = Callable[[str], None]


class Repair:
    """Mends what is missing or damaged in the remote, and says what it did.

    It goes stage by stage, first those that others need, and looks again after each: the list of a folder's files, once
    it is back, may name more that is missing, and one stage may bring several things back. Before a stage runs, which
    removes its outputs, everything that this machine has of them is in the remote.
    """

    def __init__(self, remote: str | None, say: Say) -> None:
        self._remote = remote
        self._say = say
        self._uploaded: set[str] = set()
        self._rebuilt: dict[str, list[ExpectedObject]] = {}
        self._is_as_before = True

    def run(self) -> bool:
        """Whether everything came back as it was."""
        while True:
            with open_store(self._remote) as store:
                survey = store.survey()
                self._tell_different(survey)
                if self._upload_all(store, survey):
                    continue
                stage = self._next_stage(store, survey)
                if stage is None:
                    for fault in survey.faults:
                        self._say(_told_lost(fault.wanted))
                    return self._is_as_before and not survey.faults
                self._announce(stage, survey)
                lacking, name = store.lacking(stage), store.name
            if not lacking or self._dvc("pull", "--remote", name, *lacking):
                self._dvc(*REBUILD, stage)

    def _upload_all(self, store: Store, survey: RemoteAudit) -> bool:
        """Upload what this machine has; whether that was anything. Nothing is uploaded twice, were it of no use."""
        faults = [fault for fault in survey.faults if fault.wanted.oid not in self._uploaded]
        if not faults:
            return False
        sources = store.parallel(lambda fault: self._upload(store, fault.wanted), faults)
        makers = {wanted.oid: stage for stage, lost in self._rebuilt.items() for wanted in lost}
        for fault, source in zip(faults, sources, strict=True):
            if source:
                oid = fault.wanted.oid
                self._uploaded.add(oid)
                done = f"built again by {makers[oid]}, equal" if oid in makers else f"uploaded from the {source}"
                self._say(f"{fault.wanted.shown()} {fault.reason}: {done}")
        return any(sources)

    def _upload(self, store: Store, wanted: ExpectedObject) -> str | None:
        """Upload an object and tell from where; None where no good copy of it is here.

        What the cache keeps under a hash that its bytes do not have is removed: DVC would go on using it.
        """
        cached = store.cached(wanted.oid)
        if cached.is_file():
            if file_has_content(cached, wanted.oid):
                store.upload(cached, wanted.oid)
                return "cache"
            cached.unlink()
            self._say(f"{wanted.shown()}: the cache's copy is damaged; removed")
        if any(_upload_from(store, Path(place.path), wanted.oid) for place in wanted.places):
            return "workspace"
        return None

    def _next_stage(self, store: Store, survey: RemoteAudit) -> str | None:
        makers = {fault.wanted.maker for fault in survey.faults} - {None, *self._rebuilt}
        return store.first_of(makers) if makers else None

    def _announce(self, stage: str, survey: RemoteAudit) -> None:
        faults = [fault for fault in survey.faults if fault.wanted.maker == stage]
        for fault in faults:
            self._say(f"{fault.wanted.shown()} {fault.reason}: nowhere on this machine; building it again")
        self._rebuilt[stage] = [fault.wanted for fault in faults]

    def _tell_different(self, survey: RemoteAudit) -> None:
        """Tell what dvc.lock names no more, since the stage that was to bring it back made something else."""
        for stage, lost in self._rebuilt.items():
            for wanted in lost:
                if wanted.oid not in survey.objects:
                    self._is_as_before = False
                    self._say(_told_different(wanted))
            self._rebuilt[stage] = [wanted for wanted in lost if wanted.oid in survey.objects]

    def _dvc(self, *words: str) -> bool:
        """Whether DVC did it. What it prints is shown as it comes: a stage takes its time."""
        result = subprocess.run([sys.executable, "-m", "dvc", *words], check=False, stdout=sys.stderr)
        if result.returncode:
            self._say(f"`dvc {shlex.join(words)}` ended with exit code {result.returncode}, see above.")
        return result.returncode == 0


def _upload_from(store: Store, path: Path, oid: str) -> bool:
    """Whether that file or folder of the workspace is the object."""
    if oid.endswith(FOLDER):
        return store.upload_list(path, oid)
    if not path.is_file() or not file_has_content(path, oid):
        return False
    store.upload(path, oid)
    return True


def _told_different(wanted: ExpectedObject) -> str:
    return (
        f"{wanted.shown()} came out different and cannot be had again: code, parameters, packages or sources have "
        "changed since, or the stage does not give the same bytes twice. dvc.lock now names what came out. Run "
        "`dvc repro` for what follows from it, then `dvc push` and `boxline record`."
    )


def _told_lost(wanted: ExpectedObject) -> str:
    if wanted.maker:
        return f"{wanted.shown()} is still missing. Once its stage works again: dvc repro {wanted.maker} && dvc push"
    [place, *_] = wanted.places
    return (
        f"{wanted.shown()} is lost: no stage makes it. Put {place.path} back as it was, then: "
        f"dvc commit {place.stage} && dvc push"
    )
