"""Stages killed at sampled events: the next run completes as an undisturbed one does."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.kills import StageCommand, largest_file_bytes, output_checksums, sample_events, temporary_names
from tests.support.tiny_project import make_tiny_project, run_dvc, tiny_params, write_params

pytestmark = pytest.mark.slow

PACK = "data/coco_yolo/pack"


@pytest.fixture(scope="module")
def packed_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with validated and packed datasets; `previous` is a pack with other shards and evaluation images."""
    project = make_tiny_project(tmp_path_factory.mktemp("killed"))
    params = tiny_params()
    params["systems"]["coco_yolo"]["pack"]["shard_images"] = 3
    params["datasets"]["coco"]["sample"]["val_images"] = 6
    write_params(project, params)
    run_dvc(project, "repro", "pack@coco_yolo")
    (project / PACK).rename(project / "previous")
    params["systems"]["coco_yolo"]["pack"]["shard_images"] = 4
    params["datasets"]["coco"]["sample"]["val_images"] = 8
    write_params(project, params)
    run_dvc(project, "repro", "pack@coco_yolo", "validate@digits", "validate@snacks")
    return project


@pytest.fixture
def project(packed_project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed_project, tmp_path / "copy", symlinks=True))


def kill_and_run_again(command: StageCommand, kills: int, reset: Callable[[], None]) -> None:
    """Kill the command at sampled events, each time from the files that `reset` restores, and run it again."""
    expected = output_checksums(command.project)
    reset()
    for event in sample_events(command.events(), kills, seed=2017):
        reset()
        assert command.run(kill_at_event=event).killed, event
        command.run()
        assert output_checksums(command.project) == expected, event
        assert temporary_names(command.project) == [], event


@pytest.mark.parametrize(
    ("stage", "kills"),
    [
        ("tables@coco", 2),
        pytest.param("tables@coco", 5, marks=pytest.mark.stress),
        pytest.param("tables@digits", 5, marks=pytest.mark.stress),
        pytest.param("tables@snacks", 5, marks=pytest.mark.stress),
        pytest.param("inspect@coco", 4, marks=pytest.mark.stress),
        pytest.param("validate@coco", 4, marks=pytest.mark.stress),
    ],
)
def test_killed_stage_completes_like_an_undisturbed_one(project: Path, stage: str, kills: int) -> None:
    command = StageCommand.of(project, stage)
    kill_and_run_again(command, kills, command.remove_outs)


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param("tables@coco", marks=pytest.mark.stress),
        pytest.param("inspect@coco", marks=pytest.mark.stress),
        "pack@coco_yolo",
    ],
)
def test_stage_killed_in_the_middle_of_a_write_completes_like_an_undisturbed_one(project: Path, stage: str) -> None:
    expected = output_checksums(project)
    command = StageCommand.of(project, stage)
    largest = largest_file_bytes(command.outs)
    for fraction in (0.3, 0.95):
        command.remove_outs()
        assert command.run(largest_file_bytes=int(fraction * largest)).killed, fraction
        assert temporary_names(project) != [], fraction
        command.run()
        assert output_checksums(project) == expected, fraction
        assert temporary_names(project) == [], fraction


@pytest.mark.stress
def test_killed_pack_completes_like_an_undisturbed_one(project: Path) -> None:
    command = StageCommand.of(project, "pack@coco_yolo")
    kill_and_run_again(command, 7, command.remove_outs)


@pytest.mark.stress
def test_pack_killed_over_a_previous_one_completes_like_an_undisturbed_one(project: Path) -> None:
    command = StageCommand.of(project, "pack@coco_yolo")

    def reset() -> None:
        command.remove_outs()
        shutil.copytree(project / "previous", project / PACK)

    kill_and_run_again(command, 7, reset)


def test_repeatedly_killed_pack_makes_progress_and_completes(project: Path) -> None:
    expected = output_checksums(project)
    command = StageCommand.of(project, "pack@coco_yolo")
    command.remove_outs()
    event = command.events() // 3
    command.remove_outs()
    # Always at the same event: finished work causes no events again, so the kill happens later in the work each time.
    kills = 0
    while (result := command.run(kill_at_event=event)).killed:
        kills += 1
        assert kills < 10
    assert kills > 1
    [counts] = re.findall(r"(\d+) decoded, (\d+) copied, (\d+) in unchanged shards", result.log)
    decoded, copied, kept = map(int, counts)
    assert (copied, decoded + kept) == (0, 48)
    assert kept > decoded
    assert output_checksums(project) == expected
    assert temporary_names(project) == []
