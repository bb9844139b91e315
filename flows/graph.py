"""The graph of stages, as DVC derives it from dvc.yaml."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import networkx
from dvc.repo import Repo
from dvc.stage import PipelineStage


def plan_stages(folder: Path, targets: Sequence[str]) -> dict[str, set[str]]:
    """Return the stages that bring the targets up to date, in an order in which they can run.

    Args:
        folder: the project.
        targets: stages such as train@coco_yolo, or names of several such as train; all stages if empty. Names of
            none are ignored, see `parameters.require_stages`.

    Returns:
        For each stage, the stages that it directly depends on.

    """
    with Repo(str(folder)) as repo:
        # DVC points the edges from a stage to its dependencies.
        graph = repo.index.graph.subgraph(_pipeline_stages(repo.index.graph))
        selected = set(graph) if not targets else set().union(*(_matching(graph, target) for target in targets))
        required = graph.subgraph(selected.union(*(networkx.descendants(graph, stage) for stage in selected)))
        order = networkx.lexicographical_topological_sort(required.reverse(copy=False), key=lambda stage: stage.name)
        return {stage.name: {dependency.name for dependency in required.successors(stage)} for stage in order}


def _pipeline_stages(stages: Iterable[Any]) -> list[Any]:
    """Drop the stages of .dvc files, which have no command."""
    return [stage for stage in stages if isinstance(stage, PipelineStage)]


def _matching(stages: Iterable[Any], target: str) -> set[Any]:
    return {stage for stage in stages if target in (stage.name, stage.name.partition("@")[0])}


def missing_outputs(folder: Path, stages: Iterable[str]) -> list[str]:
    """Return the outputs of the stages that dvc.lock lists and the workspace lacks, as paths relative to `folder`.

    `dvc pull` gets these paths, not stages: if a stage was killed between two outputs, DVC does not overwrite the
    first one, which is not in the cache yet.
    """
    with Repo(str(folder)) as repo:
        names = set(stages)
        outputs = [out for stage in _pipeline_stages(repo.index.stages) if stage.name in names for out in stage.outs]
        return sorted(
            str(repo.fs.relpath(out.fs_path, repo.root_dir)) for out in outputs if out.hash_info and not out.exists
        )


def default_remote(folder: Path) -> str | None:
    """Return the name of DVC's default remote, or None if none is configured."""
    with Repo(str(folder)) as repo:
        name: str | None = repo.config["core"].get("remote")
        return name
