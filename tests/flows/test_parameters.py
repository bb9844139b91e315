"""Parameters of flows are checked before a run takes the workspace."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import State
from prefect.states import Completed
from ruamel.yaml import YAML

from flows import parameters
from flows.parameters import check_parameters, require_remotes, require_stages, stage_names
from flows.run_pipeline import run_pipeline
from flows.watch_sources import watch_sources
from pipeline.core.errors import BoxlineError
from pipeline.core.git import git
from tests.support.flow_projects import make_project
from tests.support.tiny_project import PROJECT

DVC_YAML = """
stages:
  pack:
    foreach: [b, a]
    do: {cmd: "echo ${item} > ${item}.1", outs: ["${item}.1"]}
  score: {cmd: cat a.1, deps: [a.1]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", DVC_YAML)


def failure(flow: Any, **values: object) -> str:
    """Why a flow fails with these parameters; it is called without Prefect, and must not begin its work."""
    state: State[Any] = flow.fn(**values)
    assert state.is_failed()
    return str(state.message)


WRONG_VALUES: list[tuple[str, object, str]] = [
    ("max_parallel_stages", 0, "received 0, expected an integer >= 1."),
    ("max_parallel_stages", -1, "received -1, expected an integer >= 1."),
    ("max_parallel_stages", 65, "received 65, expected an integer <= 64."),
    ("max_parallel_stages", True, "received True, expected an integer."),
    ("max_parallel_stages", 1.5, "received 1.5, expected an integer."),
    ("max_parallel_stages", None, "received None, expected an integer."),
    ("pull", "no", "received 'no', expected true or false."),
    ("push", 1, "received 1, expected true or false."),
    ("remote", "", "received '', expected text that is not empty."),
    ("git_remote", "", "received '', expected text that is not empty."),
    ("targets", "train", "received 'train', expected a list."),
    ("targets", None, "received None, expected a list."),
    ("overrides", {"seed": 1}, "received {'seed': 1}, expected a list."),
    ("force", [3], "received 3, expected text."),
    ("time_limits_minutes", {"train": 0}, "received 0, expected a number > 0."),
    ("time_limits_minutes", {"train": 1e9}, "received 1000000000.0, expected a number <= 525600."),
    ("time_limits_minutes", {"train": float("nan")}, "received nan, expected a finite number."),
    ("time_limits_minutes", {"train": float("inf")}, "received inf, expected a finite number."),
    ("time_limits_minutes", {"train": "1 h"}, "received '1 h', expected a number."),
    ("time_limits_minutes", [60], "received [60], expected a section with keys."),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG_VALUES)
def test_parameter_out_of_range_fails_the_run_at_once(name: str, value: object, message: str) -> None:
    element = {"force": ".0", "time_limits_minutes": ".train"}.get(name, "") if "a section" not in message else ""
    assert failure(run_pipeline, **{name: value}) == f"flow run_pipeline: {name}{element}: {message}"


def test_every_parameter_of_every_flow_has_a_wrong_value_above() -> None:
    names = {name for flow in (run_pipeline, watch_sources) for name in inspect.signature(flow.fn).parameters}
    assert names == {name for name, *_ in WRONG_VALUES}
    assert failure(watch_sources, targets="train") == "flow watch_sources: targets: received 'train', expected a list."


@check_parameters
def flow_of_counts(counts: Sequence[parameters.Minutes] = ()) -> State[Any]:
    return Completed(data=counts)


@given(st.lists(st.floats() | st.integers()))
def test_values_within_the_range_and_no_others_reach_the_flow(counts: list[float]) -> None:
    is_allowed = all(0 < count <= 525_600 for count in counts)
    assert flow_of_counts(counts=counts).is_completed() == is_allowed


def test_names_of_stages_are_read_without_the_lock_file(project: Path) -> None:
    (project / "dvc.lock").write_text("schema: '2.0'\nstag")  # another run is writing it
    assert sorted(stage_names(project)) == ["pack@a", "pack@b", "score"]
    require_stages(project, "targets", ["pack", "pack@a", "score"])


@pytest.mark.parametrize("name", ["packs", "pack@c", "a.1", "", "pack@"])
def test_unknown_stage_is_named(project: Path, name: str) -> None:
    with pytest.raises(BoxlineError) as raised:
        require_stages(project, "force", ["score", name])
    assert str(raised.value) == f"force: {name} is not a stage of dvc.yaml; expected one of pack, score."


def test_malformed_project_is_reported_in_one_line(tmp_path: Path, project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: [")
    with pytest.raises(BoxlineError) as raised:
        stage_names(project)
    assert "\n" not in str(raised.value)
    (project / "dvc.yaml").unlink()
    with pytest.raises(BoxlineError, match=r"dvc\.yaml"):
        stage_names(project)


def test_parameters_of_the_deployments_are_valid() -> None:
    deployments = YAML(typ="safe", pure=True).load(PROJECT / "prefect.yaml")["deployments"]
    flows: dict[str, Any] = {"run_pipeline": run_pipeline, "watch_sources": watch_sources}
    given_parameters = [
        (flows[deployment["entrypoint"].rpartition(":")[2]], deployment["parameters"])
        for deployment in deployments
        if "parameters" in deployment
    ]
    assert given_parameters
    for flow, values in given_parameters:
        assert values.keys() <= inspect.signature(flow.fn).parameters.keys()
        require_stages(PROJECT, "targets", values.get("targets", []))


def test_unknown_remotes_are_named(project: Path) -> None:
    with pytest.raises(BoxlineError) as raised:
        require_remotes(project, "store", None)
    assert str(raised.value) == "remote: received 'store', expected one of `dvc remote list` (empty)."
    with (project / ".dvc" / "config").open("a", encoding="utf-8") as config:
        config.write("['remote \"store\"']\n    url = /srv/store\n")
    git("init", "--quiet", folder=project)
    git("remote", "add", "origin", "git@example.com:a.git", folder=project)
    require_remotes(project, "store", "origin")
    for address in ("https://example.com/a.git", "git@example.com:a.git", "../a"):
        require_remotes(project, None, address)
    with pytest.raises(BoxlineError) as raised:
        require_remotes(project, "store", "orign")
    assert str(raised.value) == "git_remote: received 'orign', expected an address or one of `git remote` (origin)."
