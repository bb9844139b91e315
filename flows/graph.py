"""DVC's own graph of stages."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import networkx
from dvc.exceptions import DvcException
from dvc.repo import Repo


class UnknownTargetError(ValueError):
    """A target that is no stage of dvc.yaml."""


def stages_of(folder: Path, targets: Sequence[str]) -> dict[str, set[str]]:
    """The stages that `targets` need, each with those right before it, in an order in which they can run.

    A target is a stage, such as train@coco_yolo, or all stages of a name, such as train; none stands for all.
    """
    with Repo(str(folder)) as repo:
        graph = repo.index.graph
        try:
            chosen = {stage for target in targets for stage in repo.stage.collect(target)}
        except DvcException as error:
            names = sorted({stage.name.partition("@")[0] for stage in graph})
            raise UnknownTargetError(f"targets: {error}. Expected stages of dvc.yaml: {', '.join(names)}.") from None
        wanted = set(graph) if not targets else chosen.union(*(networkx.descendants(graph, stage) for stage in chosen))
        needed = graph.subgraph(wanted)
        order = networkx.lexicographical_topological_sort(needed.reverse(copy=False), key=lambda stage: stage.name)
        return {stage.name: {before.name for before in needed.successors(stage)} for stage in order}


def incomplete(folder: Path, stages: Iterable[str]) -> list[str]:
    """Those of the stages that dvc.lock knows outputs of which some are not in the workspace."""
    with Repo(str(folder)) as repo:
        names = set(stages)
        return [
            stage.name
            for stage in repo.index.stages
            if stage.name in names and any(out.hash_info and not out.exists for out in stage.outs)
        ]


def default_remote(folder: Path) -> str | None:
    """The name of DVC's default remote."""
    with Repo(str(folder)) as repo:
        name: str | None = repo.config["core"].get("remote")
        return name
