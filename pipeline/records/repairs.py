"""Mending a remote: from the cache, from the workspace, or by running the stage again that made what is lost."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.records.store import FOLDER, Fault, Store, Survey, Wanted, file_has_content, open_store

REBUILD = ("repro", "--single-item", "--force", "--pull", "--no-run-cache")
"""Words for DVC: the stage runs whatever is there, and what it needs comes from the remote. A forced stage takes
nothing from the run cache, so none is fetched."""

Say = Callable[[str], None]


def repair(remote: str | None, say: Say) -> bool:
    """Mend what is missing or damaged in the remote and say what was done; whether all of it came back as it was.

    Rebuilding goes stage by stage, first those that others need, and looks again after each: the list of a folder's
    files, once it is back, may name more that is missing, and one stage may bring several things back.
    """
    rebuilt: dict[str, list[Fault]] = {}
    different: set[str] = set()
    while True:
        with open_store(remote) as store:
            survey = store.survey()
            for fault in _different(survey, rebuilt):
                different.add(fault.wanted.oid)
                say(_told_different(fault.wanted))
            told = store.parallel(lambda fault: _mended(store, fault, set(rebuilt)), survey.faults)
            left = [fault for fault, message in zip(survey.faults, told, strict=True) if message is None]
            for message in filter(None, told):
                say(message)
            if len(left) < len(survey.faults):
                continue
            stage = _next_stage(store, left, set(rebuilt))
        if stage is None:
            for fault in left:
                say(_told_lost(fault.wanted))
            return not different and not left
        rebuilt[stage] = [fault for fault in left if fault.wanted.places[0].stage == stage]
        _rebuild(stage, rebuilt[stage], say)


def _mended(store: Store, fault: Fault, rebuilt: set[str]) -> str | None:
    """Upload an object from this machine and tell from where; None where no good copy of it is here."""
    wanted = fault.wanted
    cached = store.cached(wanted.oid)
    removed = _remove_damaged(cached, wanted.oid)
    if not removed and cached.is_file():
        store.upload(cached, wanted.oid)
        makers = rebuilt & {place.stage for place in wanted.places}
        source = f"built again by {makers.pop()}, equal" if makers else "uploaded from the cache"
        return f"{wanted.shown()} {fault.reason}: {source}"
    for place in wanted.places:
        if _upload_from(store, Path(place.path), wanted.oid):
            return f"{wanted.shown()} {fault.reason}: uploaded from the workspace{removed}"
    return None


def _remove_damaged(cached: Path, oid: str) -> str:
    """Remove what the cache keeps under a hash that its bytes do not have, and tell it: DVC would go on using it."""
    if not cached.is_file() or file_has_content(cached, oid):
        return ""
    cached.unlink()
    return ", since the cache's copy was damaged; it is removed"


def _upload_from(store: Store, path: Path, oid: str) -> bool:
    if oid.endswith(FOLDER):
        return store.upload_list(path, oid)
    if not path.is_file() or not file_has_content(path, oid):
        return False
    store.upload(path, oid)
    return True


def _next_stage(store: Store, left: list[Fault], rebuilt: set[str]) -> str | None:
    makers = {place.stage for fault in left for place in fault.wanted.places[:1] if place.has_command}
    return next(iter(store.in_order(makers - rebuilt)), None)


def _rebuild(stage: str, faults: list[Fault], say: Say) -> None:
    for fault in faults:
        say(f"{fault.wanted.shown()} {fault.reason}: neither in the cache nor in the workspace; building it again")
    command = [sys.executable, "-m", "dvc", *REBUILD, stage]
    result = subprocess.run(command, check=False, stdout=sys.stderr)
    if result.returncode:
        say(f"{stage} failed: `dvc {' '.join(REBUILD)} {stage}` ended with exit code {result.returncode}, see above.")


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
