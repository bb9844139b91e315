"""dvc.lock of the working tree or of a commit: its stages with their dependencies, parameters and outputs.

DVC is imported inside the functions: it takes a while, and most users of this module need only the file's name.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.errors import BoxlineError

DVC_LOCK = "dvc.lock"


@dataclass(frozen=True)
class LockedStage:
    """One stage of dvc.lock.

    Attributes:
        name: as in `dvc repro NAME`.
        dependencies: MD5 by path, relative to dvc.lock. MD5s of folders end in `.dir`.
        params: values by file and key, as the stage read them.
        outputs: MD5 by path, like the dependencies.

    """

    name: str
    dependencies: dict[str, str]
    params: dict[str, dict[str, Any]]
    outputs: dict[str, str]


@dataclass(frozen=True)
class DvcLock:
    """The stages of a dvc.lock by name."""

    stages: dict[str, LockedStage]

    @classmethod
    def parse(cls, text: str, source: str = DVC_LOCK) -> "DvcLock":
        """Parse the text of a dvc.lock.

        Args:
            text: its content.
            source: what error messages call it, such as "dvc.lock of 1a2b3c4".

        Raises:
            BoxlineError: if the text is not valid by DVC's schema.

        """
        entries = _valid_stages(text)
        if entries is None:
            raise BoxlineError(
                f"{source} is not a valid dvc.lock. `git restore {DVC_LOCK}` restores the committed one, `dvc repro` "
                "creates it again."
            )
        return cls({name: _stage(name, entry) for name, entry in entries.items()})

    def outputs(self) -> dict[str, str]:
        """Return the MD5 of every output by path."""
        return {path: md5 for stage in self.stages.values() for path, md5 in sorted(stage.outputs.items())}

    def inputs(self) -> list[str]:
        """Return the paths that stages read and no stage writes: code, parameter files, data added by hand."""
        outputs = self.outputs()
        paths = {path for stage in self.stages.values() for path in (*stage.dependencies, *stage.params)}
        return sorted(path for path in paths if not any(_overlap(path, output) for output in outputs))

    def producers(self, md5: str) -> list[tuple[LockedStage, str]]:
        """Return the stages with an output of that MD5, each with the output's path."""
        return [
            (stage, path)
            for stage in self.stages.values()
            for path, output_md5 in stage.outputs.items()
            if output_md5 == md5
        ]

    def upstream(self, stage: LockedStage) -> list[LockedStage]:
        """Return the stage and all stages that it depends on, each once, breadth first from the stage."""
        found = {stage.name: stage}
        queue = deque([stage])
        while queue:
            for dependency in self._direct_upstream(queue.popleft()):
                if dependency.name not in found:
                    found[dependency.name] = dependency
                    queue.append(dependency)
        return list(found.values())

    def _direct_upstream(self, stage: LockedStage) -> Iterator[LockedStage]:
        for other in self.stages.values():
            if any(_overlap(path, output) for path in stage.dependencies for output in other.outputs):
                yield other


def is_complete_lock(content: bytes | None) -> bool:
    """Return whether a file is a complete dvc.lock: valid by DVC's schema, and ending as DVC ends it.

    DVC writes dvc.lock in place, so a killed process may leave half of one. None stands for a missing file.
    """
    try:
        return content is not None and content.endswith(b"\n") and _valid_stages(content.decode("utf-8")) is not None
    except UnicodeDecodeError:
        return False


def _valid_stages(text: str) -> dict[str, dict[str, Any]] | None:
    """Return the entries of the stages, or None if the text is not valid by DVC's schema."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException

    try:
        content: dict[str, Any] = Lockfile.validate(YAML(typ="safe").load(text))
    except (YAMLError, DvcException):
        return None
    return content.get("stages")


def _stage(name: str, entry: dict[str, Any]) -> LockedStage:
    return LockedStage(name, _md5s(entry.get("deps", [])), entry.get("params", {}), _md5s(entry.get("outs", [])))


def _md5s(entries: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return MD5s by path. External data, which DVC identifies by ETag or the like, has none."""
    return {entry["path"]: entry["md5"] for entry in entries if entry.get("md5")}


def _overlap(path: str, other: str) -> bool:
    """Return whether the paths are equal or one contains the other."""
    return PurePosixPath(path).is_relative_to(other) or PurePosixPath(other).is_relative_to(path)
