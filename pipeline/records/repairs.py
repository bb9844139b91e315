"""Mending a remote: from the cache, from the workspace, or by running the stage again that made what is lost."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.records.store import FOLDER, Fault, Store, Survey, Wanted, file_has_content, open_store

REBUILD = ("repro", "--single-item", "--force")
"""Words for DVC: the stage runs whatever is there. With --force, DVC takes no notice of --pull."""

Say = Callable[[str], None]


def repair(remote: str | None, say: Say) -> bool:
    """Mend what is missing or damaged in the remote and say what was done; whether all of it came back as it was.

    Rebuilding goes stage by stage, first those that others need, and looks again after each: the list of a folder's
    files, once it is back, may name more that is missing, and one stage may bring several things back.
    """
    rebuilt: dict[str, list[Fault]] = {}
    mended: set[str] = set()
    different: set[str] = set()
    while True:
        with open_store(remote) as store:
            survey = store.survey()
            for fault in _different(survey, rebuilt):
                different.add(fault.wanted.oid)
                say(_told_different(fault.wanted))
            todo = [fault for fault in survey.faults if fault.wanted.oid not in mended]
            done = _mend(store, todo, set(rebuilt), say)
            mended |= done
            if done:
                continue
            left = survey.faults
            stage = _next_stage(store, left, set(rebuilt))
            lacking = store.lacking(stage) if stage else []
            source = store.name
        if stage is None:
            for fault in left:
                say(_told_lost(fault.wanted))
            return not different and not left
        rebuilt[stage] = [fault for fault in left if fault.wanted.places[0].stage == stage]
        for fault in rebuilt[stage]:
            say(f"{fault.wanted.shown()} {fault.reason}: neither in the cache nor in the workspace; building it again")
        if not lacking or _dvc("pull", "--remote", source, *lacking, say=say):
            _dvc(*REBUILD, stage, say=say)


def _mend(store: Store, faults: list[Fault], rebuilt: set[str], say: Say) -> set[str]:
    """Upload what this machine has and say from where; return the hashes."""
    _remove_damaged(store, faults, say)
    sources = store.parallel(lambda fault: _upload(store, fault.wanted, rebuilt), faults) if faults else []
    found = {fault.wanted.oid: source for fault, source in zip(faults, sources, strict=True) if source}
    for fault in faults:
        if fault.wanted.oid in found:
            say(f"{fault.wanted.shown()} {fault.reason}: {found[fault.wanted.oid]}")
    return set(found)


def _remove_damaged(store: Store, faults: list[Fault], say: Say) -> None:
    """Remove what the cache keeps under a hash that its bytes do not have: DVC would go on using it."""
    for fault in faults:
        cached = store.cached(fault.wanted.oid)
        if cached.is_file() and not file_has_content(cached, fault.wanted.oid):
            cached.unlink()
            say(f"{fault.wanted.shown()}: the cache's copy is damaged; removed")


def _upload(store: Store, wanted: Wanted, rebuilt: set[str]) -> str | None:
    """Upload an object and tell from where; None where no good copy of it is here."""
    cached = store.cached(wanted.oid)
    if cached.is_file() and file_has_content(cached, wanted.oid):
        store.upload(cached, wanted.oid)
        makers = rebuilt & {place.stage for place in wanted.places}
        return f"built again by {makers.pop()}, equal" if makers else "uploaded from the cache"
    if any(_upload_from(store, Path(place.path), wanted.oid) for place in wanted.places):
        return "uploaded from the workspace"
    return None


def _upload_from(store: Store, path: Path, oid: str) -> bool:
    if oid.endswith(FOLDER):
        return store.upload_list(path, oid)
    if not path.is_file() or not file_has_content(path, oid):
        return False
    store.upload(path, oid)
    return True


def _next_stage(store: Store, left: list[Fault], rebuilt: set[str]) -> str | None:
    makers = {place.stage for fault in left for place in fault.wanted.places[:1] if place.has_command}
    todo = makers - rebuilt
    return next(iter(store.in_order(todo))) if todo else None


def _dvc(*words: str, say: Say) -> bool:
    """Whether DVC did it. What it prints is shown as it comes: a stage takes its time."""
    result = subprocess.run([sys.executable, "-m", "dvc", *words], check=False, stdout=sys.stderr)
    if result.returncode:
        say(f"`dvc {shlex.join(words)}` ended with exit code {result.returncode}, see above.")
    return result.returncode == 0


def _different(survey: Survey, rebuilt: dict[str, list[Fault]]) -> list[Fault]:
    """What dvc.lock names no more, since the stage that was to bring it back made something else."""
    gone = [fault for faults in rebuilt.values() for fault in faults if fault.wanted.oid not in survey.objects]
    for stage in rebuilt:
        rebuilt[stage] = [fault for fault in rebuilt[stage] if fault not in gone]
    return gone


def _told_different(wanted: Wanted) -> str:
    return (
        f"{wanted.shown()} came out different and cannot be had again: code, parameters, packages or sources have "
        "changed since, or the stage does not give the same bytes twice. dvc.lock now names what came out. Run "
        "`dvc repro` for what follows from it, then `dvc push` and `boxline record`."
    )


def _told_lost(wanted: Wanted) -> str:
    [place, *_] = wanted.places
    if place.has_command:
        return f"{wanted.shown()} is still missing. Once its stage works again: dvc repro {place.stage} && dvc push"
    return (
        f"{wanted.shown()} is lost: no stage makes it. Put {place.path} back as it was, then: "
        f"dvc commit {place.stage} && dvc push"
    )
