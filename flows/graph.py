"""DVC's own graph of stages."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import networkx
from dvc.repo import Repo
from dvc.stage import PipelineStage


class UnknownTargetError(ValueError):
    """A target that is no stage of dvc.yaml."""


def stages_of(folder: Path, targets: Sequence[str]) -> dict[str, set[str]]:
    """The stages that `targets` need, each with those right before it, in an order in which they can run.

    A target is a stage, such as train@coco_yolo, or all stages of a name, such as train; none stands for all.
    """
    with Repo(str(folder)) as repo:
        graph = repo.index.graph.subgraph(_named(repo.index.graph))
        chosen = set(graph) if not targets else set().union(*(_of_name(graph, target) for target in targets))
        wanted = chosen.union(*(networkx.descendants(graph, stage) for stage in chosen))
        needed = graph.subgraph(wanted)
        order = networkx.lexicographical_topological_sort(needed.reverse(copy=False), key=lambda stage: stage.name)
        return {stage.name: {before.name for before in needed.successors(stage)} for stage in order}


def _named(stages: Iterable[Any]) -> list[Any]:
    """Those of dvc.yaml: files that `dvc add` watches over are made by nobody."""
    return [stage for stage in stages if isinstance(stage, PipelineStage)]


def _of_name(stages: Iterable[Any], target: str) -> set[Any]:
    found = {stage for stage in stages if target in (stage.name, stage.name.partition("@")[0])}
    if not found:
        names = sorted({stage.name.partition("@")[0] for stage in stages})
        raise UnknownTargetError(f"targets: {target} is no stage of dvc.yaml; expected {', '.join(names)}.")
    return found


def missing_outputs(folder: Path, stages: Iterable[str]) -> list[str]:
    """The outputs of the stages that dvc.lock knows and that are not in the workspace, as paths below `folder`.

    Those alone can be pulled: of a stage that died between two outputs, DVC refuses to replace the one that lies here
    and is in no cache yet.
    """
    with Repo(str(folder)) as repo:
        names = set(stages)
        outputs = [out for stage in _named(repo.index.stages) if stage.name in names for out in stage.outs]
        return sorted(
            str(repo.fs.relpath(out.fs_path, repo.root_dir)) for out in outputs if out.hash_info and not out.exists
        )


def default_remote(folder: Path) -> str | None:
    """The name of DVC's default remote."""
    with Repo(str(folder)) as repo:
        name: str | None = repo.config["core"].get("remote")
        return name
