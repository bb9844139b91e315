"""Plans of stages, and missing outputs, in a small DVC project."""

from pathlib import Path

import pytest

from flows.graph import default_remote, missing_outputs, plan_stages
from tests.support.flow_projects import DVC, make_project, run_in

DVC_YAML = """
stages:
  score:
    cmd: cat a.2 b.2 > score
    deps: [a.2, b.2]
    outs: [score]
  pack:
    foreach: [b, a]
    do:
      cmd: cp ${item}.1 ${item}.2
      deps: ["${item}.1"]
      outs: ["${item}.2"]
  make:
    foreach: [b, a]
    do:
      cmd: echo ${item} > ${item}.1
      outs: ["${item}.1"]
  lonely:
    cmd: mkdir -p lonely && echo 1 > lonely/1 && echo 2 > lonely/2
    outs: [lonely/1, lonely/2]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"), DVC_YAML)


def test_stages_are_sorted_after_their_dependencies(project: Path) -> None:
    plan = plan_stages(project, [])
    assert plan == {
        "lonely": set(),
        "make@a": set(),
        "make@b": set(),
        "pack@a": {"make@a"},
        "pack@b": {"make@b"},
        "score": {"pack@a", "pack@b"},
    }
    assert list(plan) == ["lonely", "make@a", "make@b", "pack@a", "pack@b", "score"]


@pytest.mark.parametrize(
    ("targets", "stages"),
    [
        (["pack@b"], ["make@b", "pack@b"]),
        (["pack"], ["make@a", "make@b", "pack@a", "pack@b"]),
        (["lonely", "make@a"], ["lonely", "make@a"]),
        (["score"], ["make@a", "make@b", "pack@a", "pack@b", "score"]),
    ],
)
def test_plan_has_the_targets_and_their_dependencies_only(project: Path, targets: list[str], stages: list[str]) -> None:
    assert list(plan_stages(project, targets)) == stages


def test_dvc_files_are_not_stages(tmp_path: Path) -> None:
    make_project(tmp_path, "stages: {read: {cmd: cat a.txt, deps: [a.txt]}}\n")
    (tmp_path / "a.txt.dvc").write_text("outs: [{md5: d41d8cd98f00b204e9800998ecf8427e, size: 0, path: a.txt}]\n")
    assert plan_stages(tmp_path, []) == {"read": set()}
    assert missing_outputs(tmp_path, ["read"]) == []


def test_default_remote_is_read_from_the_configuration(project: Path, tmp_path: Path) -> None:
    assert default_remote(project) is None
    make_project(tmp_path, DVC_YAML)
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    remote = here\n")
    assert default_remote(tmp_path) == "here"


@pytest.mark.slow
def test_missing_outputs_can_be_pulled_next_to_an_output_of_a_killed_stage(tmp_path: Path) -> None:
    make_project(tmp_path, DVC_YAML)
    (tmp_path / ".dvc" / "config").write_text(
        "[core]\n    no_scm = True\n    remote = here\n['remote \"here\"']\n    url = ../store\n"
    )
    stages = list(plan_stages(tmp_path, []))
    assert missing_outputs(tmp_path, stages) == []  # not in dvc.lock, so they cannot be pulled
    assert run_in(tmp_path, DVC, "repro", "lonely", "make@a").return_code == 0
    assert missing_outputs(tmp_path, stages) == []
    (tmp_path / "a.1").unlink()
    (tmp_path / "lonely" / "2").unlink()
    (tmp_path / "lonely" / "1").write_text("not in the cache")
    missing = missing_outputs(tmp_path, stages)
    assert missing == ["a.1", "lonely/2"]
    assert missing_outputs(tmp_path, ["lonely", "score"]) == ["lonely/2"]

    assert run_in(tmp_path, DVC, "pull", "--allow-missing", *missing).return_code == 0
    assert missing_outputs(tmp_path, stages) == []
    assert (tmp_path / "a.1").read_text() == "a\n"
    assert (tmp_path / "lonely" / "1").read_text() == "not in the cache"
