"""What a remote that is a folder has of what dvc.lock names, after objects were lost or damaged in every way."""

import shutil
from pathlib import Path

import pytest

from pipeline.cli.verify import verify
from pipeline.core.errors import BoxlineError
from tests.support.recorded_project import DRAW, METRICS, SECOND, THIRD, TOTAL, git, stored
from tests.support.tiny_project import run_dvc

pytestmark = pytest.mark.slow

Captured = pytest.CaptureFixture[str]


def verified(captured: Captured) -> tuple[int, list[str]]:
    """The exit code, and what was printed."""
    code = verify(None)
    return code, captured.readouterr().out.splitlines()


def complaint(name: str | None = None) -> str:
    with pytest.raises(BoxlineError) as raised:
        verify(name)
    return str(raised.value)


def some(number: int, remote: Path) -> str:
    return (
        f"{number} of 6 objects of dvc.lock are missing or damaged in the remote 'store' ({remote}). `boxline repair` "
        "mends what it can."
    )


def whole(remote: Path) -> str:
    return f"All 6 objects of dvc.lock are in the remote 'store' ({remote}): 0.0 MB."


def test_a_whole_remote(project: Path, remote: Path, capsys: Captured) -> None:
    assert verified(capsys) == (0, [whole(remote)])
    assert git(project, "status", "--porcelain", "--", "dvc.yaml", "params.yaml", ".dvc") == "M .dvc/config"


@pytest.mark.parametrize(
    ("oid", "shown"),
    [
        (TOTAL, "data/total.txt of total"),
        (DRAW, "data/draw of draw"),
        (SECOND, "data/draw/1.txt of draw"),
        (METRICS, "reports/metrics.json of score"),
    ],
)
def test_one_object_is_missing(remote: Path, capsys: Captured, oid: str, shown: str) -> None:
    stored(remote, oid).unlink()
    assert verified(capsys) == (1, [f"{shown} ({oid}): missing", some(1, remote)])


def test_the_remote_is_asked_and_not_what_dvc_remembers(project: Path, remote: Path, capsys: Captured) -> None:
    run_dvc(project, "push")
    stored(remote, SECOND).unlink()
    assert run_dvc(project, "push").stdout == "Everything is up to date.\n"
    assert run_dvc(project, "status", "--cloud").stdout == "Cache and remote 'store' are in sync.\n"
    assert verified(capsys) == (1, [f"data/draw/1.txt of draw ({SECOND}): missing", some(1, remote)])


def test_what_a_push_left_out_since_the_cache_lost_it_is_named(
    project: Path, remote: Path, cache: Path, capsys: Captured
) -> None:
    shutil.rmtree(remote)
    stored(cache, TOTAL).unlink()
    stored(cache, SECOND).unlink()
    run_dvc(project, "push")
    assert verified(capsys) == (
        1,
        [
            f"data/total.txt of total ({TOTAL}): missing",
            f"data/draw of draw ({DRAW}): missing",
            f"data/draw/1.txt of draw ({SECOND}): missing",
            some(3, remote),
        ],
    )


def test_lists_of_files_come_from_the_remote_where_the_cache_is_empty(
    remote: Path, cache: Path, capsys: Captured
) -> None:
    shutil.rmtree(cache)
    assert verified(capsys) == (0, [whole(remote)])
    stored(remote, THIRD).unlink()
    assert verified(capsys) == (1, [f"data/draw/2.txt of draw ({THIRD}): missing", some(1, remote)])


def test_without_its_list_a_folders_files_are_not_known(remote: Path, cache: Path, capsys: Captured) -> None:
    shutil.rmtree(cache)
    stored(remote, DRAW).unlink()
    code, printed = verified(capsys)
    assert (code, printed[0]) == (1, f"data/draw of draw ({DRAW}): missing, and which files belong to it is not known")
    assert printed[1].startswith("1 of 3 objects of dvc.lock are missing or damaged")


def test_what_was_cut_off_is_told_by_its_size(remote: Path, capsys: Captured) -> None:
    """An upload by SSH that is killed leaves a part under the final name."""
    for oid in (TOTAL, DRAW, THIRD):
        path = stored(remote, oid)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:5])
    assert verified(capsys) == (
        1,
        [
            f"data/total.txt of total ({TOTAL}): has 5 bytes instead of 54",
            f"data/draw of draw ({DRAW}): has 5 bytes instead of 195",
            f"data/draw/2.txt of draw ({THIRD}): has another content",
            some(3, remote),
        ],
    )


def test_a_damaged_list_in_the_cache_is_not_believed(remote: Path, cache: Path, capsys: Captured) -> None:
    path = stored(cache, DRAW)
    path.chmod(0o644)
    path.write_text("[]")
    assert verified(capsys) == (0, [whole(remote)])


def test_outputs_that_are_not_to_be_pushed_are_not_expected(project: Path, remote: Path, capsys: Captured) -> None:
    stages = project / "dvc.yaml"
    stages.write_text(stages.read_text().replace("[data/total.txt]", "[{data/total.txt: {push: false}}]"))
    stored(remote, TOTAL).unlink()
    assert verified(capsys) == (0, [whole(remote).replace("All 6", "All 5")])


def test_faults_of_the_project_are_sentences(project: Path, remote: Path) -> None:
    assert complaint("other") == (
        "There is no remote 'other'. Expected one that `dvc remote list` shows; correct --remote."
    )
    remote.rename(remote.with_name("unmounted"))
    assert complaint() == (
        f"The remote 'store' ({remote}) is not there, or nothing was ever pushed to it ([Errno 2] No such file or "
        f"directory: '{remote}'). Check `dvc remote list`, mount the disk or create the bucket; then `dvc push` fills "
        "it."
    )
    run_dvc(project, "remote", "modify", "store", "url", "gs://bucket/numbers")
    assert complaint() == (
        "DVC cannot use the remote: gs is supported, but requires 'dvc-gs' to be installed. See `dvc remote list`."
    )
    run_dvc(project, "remote", "remove", "store")
    assert complaint() == (
        "No remote is the default one, so there is nothing to look into. Name one with --remote, or make one the "
        "default: dvc remote add --default NAME ADDRESS"
    )
    lock = project / "dvc.lock"
    lock.write_text("stages: [")
    assert complaint() == (
        "DVC cannot read dvc.yaml and dvc.lock: unable to read: 'dvc.lock', YAML file structure is corrupted. "
        "`dvc status` says more."
    )
    lock.unlink()
    assert complaint() == (
        "There is no dvc.lock in the current folder, so no run is known. `dvc repro` makes one; run this from the "
        "project's root folder."
    )
    shutil.rmtree(project / ".dvc")
    assert complaint() == (
        "The current folder is no DVC project: it has no .dvc. Run this from the project's root folder."
    )
