"""Stages killed at seeded moments: the next run ends as an undisturbed one does."""

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
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose datasets are checked and packed; `previous` is a pack with other shards and evaluation images."""
    project = make_tiny_project(tmp_path_factory.mktemp("killed"))
    params = tiny_params()
    params["systems"]["coco_yolo"]["pack"]["shard_images"] = 3
    params["datasets"]["coco"]["sample"]["val_images"] = 6
    write_params(project, params)
    run_dvc(project, "repro", "pack@coco_yolo")
    (project / PACK).rename(project / "former")
    params["systems"]["coco_yolo"]["pack"]["shard_images"] = 4
    params["datasets"]["coco"]["sample"]["val_images"] = 8
    write_params(project, params)
    run_dvc(project, "repro", "pack@coco_yolo", "validate@digits", "validate@snacks")
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy", symlinks=True))


def kill_and_run_again(command: StageCommand, kills: int, go_back: Callable[[], None]) -> None:
    """From the state that `go_back` makes, each time."""
    expected = output_checksums(command.project)
    go_back()
    for moment in sample_events(command.events(), kills, seed=2017):
        go_back()
        assert command.run(kill_at_event=moment).killed, moment
        command.run()
        assert output_checksums(command.project) == expected, moment
        assert temporary_names(command.project) == [], moment


@pytest.mark.parametrize(
    ("stage", "kills"),
    [
        ("tables@coco", 5),
        ("tables@digits", 5),
        ("tables@snacks", 5),
        ("inspect@coco", 4),
        ("validate@coco", 4),
    ],
)
def test_a_killed_stage_ends_like_an_undisturbed_one(project: Path, stage: str, kills: int) -> None:
    command = StageCommand.of(project, stage)
    kill_and_run_again(command, kills, command.remove_outs)


@pytest.mark.parametrize("stage", ["tables@coco", "inspect@coco", "pack@coco_yolo"])
def test_a_stage_killed_in_the_middle_of_a_write_ends_like_an_undisturbed_one(project: Path, stage: str) -> None:
    expected = output_checksums(project)
    command = StageCommand.of(project, stage)
    largest = largest_file_bytes(command.outs)
    for share in (0.3, 0.95):
        command.remove_outs()
        assert command.run(largest_file_bytes=int(share * largest)).killed, share
        assert temporary_names(project) != [], share
        command.run()
        assert output_checksums(project) == expected, share
        assert temporary_names(project) == [], share


def test_a_killed_pack_ends_like_an_undisturbed_one(project: Path) -> None:
    command = StageCommand.of(project, "pack@coco_yolo")
    kill_and_run_again(command, 7, command.remove_outs)


def test_a_pack_killed_over_a_former_one_ends_like_an_undisturbed_one(project: Path) -> None:
    command = StageCommand.of(project, "pack@coco_yolo")

    def go_back() -> None:
        command.remove_outs()
        shutil.copytree(project / "former", project / PACK)

    kill_and_run_again(command, 7, go_back)


def test_a_pack_that_is_killed_again_and_again_gets_done(project: Path) -> None:
    expected = output_checksums(project)
    command = StageCommand.of(project, "pack@coco_yolo")
    command.remove_outs()
    moment = command.events() // 3
    command.remove_outs()
    # Always at the same event: what is finished causes none again, so the moment comes later in the work each time.
    kills = 0
    while (ended := command.run(kill_at_event=moment)).killed:
        kills += 1
        assert kills < 10
    assert kills > 1
    [found] = re.findall(r"(\d+) decoded, (\d+) copied, (\d+) in unchanged shards", ended.log)
    decoded, copied, kept = map(int, found)
    assert (copied, decoded + kept) == (0, 48)
    assert kept > decoded
    assert output_checksums(project) == expected
    assert temporary_names(project) == []
