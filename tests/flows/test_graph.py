"""DVC's graph of a small project."""

from pathlib import Path

import pytest

from flows.graph import UnknownTargetError, default_remote, missing_outputs, stages_of
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


def test_every_stage_comes_after_those_right_before_it(project: Path) -> None:
    plan = stages_of(project, [])
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
def test_targets_bring_what_they_need_and_no_more(project: Path, targets: list[str], stages: list[str]) -> None:
    assert list(stages_of(project, targets)) == stages


@pytest.mark.parametrize("target", ["packs", "pack@c", "a.2"])
def test_a_target_that_is_no_stage(project: Path, target: str) -> None:
    with pytest.raises(UnknownTargetError) as raised:
        stages_of(project, ["lonely", target])
    assert str(raised.value) == f"targets: {target} is no stage of dvc.yaml; expected lonely, make, pack, score."


def test_files_that_dvc_watches_over_are_no_stages(tmp_path: Path) -> None:
    make_project(tmp_path, "stages: {read: {cmd: cat a.txt, deps: [a.txt]}}\n")
    (tmp_path / "a.txt.dvc").write_text("outs: [{md5: d41d8cd98f00b204e9800998ecf8427e, size: 0, path: a.txt}]\n")
    assert stages_of(tmp_path, []) == {"read": set()}
    assert missing_outputs(tmp_path, ["read"]) == []


def test_the_default_remote(project: Path, tmp_path: Path) -> None:
    assert default_remote(project) is None
    make_project(tmp_path, DVC_YAML)
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    remote = here\n")
    assert default_remote(tmp_path) == "here"


@pytest.mark.slow
def test_what_is_missing_can_be_pulled_beside_what_a_stage_that_died_has_left(tmp_path: Path) -> None:
    make_project(tmp_path, DVC_YAML)
    (tmp_path / ".dvc" / "config").write_text(
        "[core]\n    no_scm = True\n    remote = here\n['remote \"here\"']\n    url = ../store\n"
    )
    stages = list(stages_of(tmp_path, []))
    assert missing_outputs(tmp_path, stages) == []  # never made, so nothing can be fetched
    assert run_in(tmp_path, DVC, "repro", "lonely", "make@a").return_code == 0
    assert missing_outputs(tmp_path, stages) == []
    (tmp_path / "a.1").unlink()
    (tmp_path / "lonely" / "2").unlink()
    (tmp_path / "lonely" / "1").write_text("half of something new")
    missing = missing_outputs(tmp_path, stages)
    assert missing == ["a.1", "lonely/2"]
    assert missing_outputs(tmp_path, ["lonely", "score"]) == ["lonely/2"]

    assert run_in(tmp_path, DVC, "pull", "--allow-missing", *missing).return_code == 0
    assert missing_outputs(tmp_path, stages) == []
    assert (tmp_path / "a.1").read_text() == "a\n"
    assert (tmp_path / "lonely" / "1").read_text() == "half of something new"
