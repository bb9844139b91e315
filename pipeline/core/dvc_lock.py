"""dvc.lock as it is in the working tree or was at a commit: stages, what they read, and what they made."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.errors import BoxlineError

LOCK = "dvc.lock"


@dataclass(frozen=True)
class LockedStage:
    """One stage of a dvc.lock. Paths are relative to it; hashes are MD5s, with `.dir` behind those of folders.

    params: by file and name, as the stage read them.
    """

    name: str
    dependencies: dict[str, str]
    params: dict[str, dict[str, Any]]
    outputs: dict[str, str]


class Lock:
    """The stages of one dvc.lock by name."""

    def __init__(self, text: str, where: str) -> None:
        try:
            found = YAML(typ="safe", pure=True).load(text)["stages"] or {}
            self.stages = {name: _stage(name, entry) for name, entry in found.items()}
        except (YAMLError, AttributeError, KeyError, TypeError):
            raise BoxlineError(
                f"{where} cannot be read as what DVC writes, a list of stages. `git restore {LOCK}` brings a committed "
                "one back, `dvc repro` makes it anew."
            ) from None

    def outputs(self) -> dict[str, str]:
        """The hash of every output, by path."""
        return {path: md5 for stage in self.stages.values() for path, md5 in sorted(stage.outputs.items())}

    def inputs(self) -> list[str]:
        """What stages read and no stage makes: code, files of parameters, data that somebody put there."""
        outputs = self.outputs()
        names = {name for stage in self.stages.values() for name in (*stage.dependencies, *stage.params)}
        return sorted(name for name in names if not any(_overlap(name, output) for output in outputs))

    def makers(self, md5: str) -> list[tuple[LockedStage, str]]:
        """The stages that made a file of that content, each with the file's path."""
        return [(stage, path) for stage in self.stages.values() for path, made in stage.outputs.items() if made == md5]

    def upstream(self, stage: LockedStage) -> list[LockedStage]:
        """The stage, then those that made what it read, back to the sources: each once, the nearest first."""
        found = {stage.name: stage}
        waiting = deque([stage])
        while waiting:
            for before in self._before(waiting.popleft()):
                if before.name not in found:
                    found[before.name] = before
                    waiting.append(before)
        return list(found.values())

    def _before(self, stage: LockedStage) -> Iterator[LockedStage]:
        for other in self.stages.values():
            if any(_overlap(name, output) for name in stage.dependencies for output in other.outputs):
                yield other


def _stage(name: str, entry: dict[str, Any]) -> LockedStage:
    return LockedStage(name, _hashes(entry.get("deps")), entry.get("params") or {}, _hashes(entry.get("outs")))


def _hashes(entries: list[dict[str, str]] | None) -> dict[str, str]:
    """Only what DVC tells apart by MD5: everything but data at addresses."""
    return {entry["path"]: entry["md5"] for entry in entries or [] if "md5" in entry}


def _overlap(one: str, other: str) -> bool:
    """Whether one of two paths lies below the other, or is it."""
    return PurePosixPath(one).is_relative_to(other) or PurePosixPath(other).is_relative_to(one)
