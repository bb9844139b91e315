"""Every way back for what a remote has lost, and what to do where there is none."""

import shutil
from pathlib import Path

import pytest

from pipeline.cli.repair import repair
from tests.support.recorded_project import DRAW, FIRST, METRICS, SECOND, THIRD, TOTAL, stored
from tests.support.tiny_project import run_dvc

# DVC's graph asks its trie for something that will go.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc.*")]

Captured = pytest.CaptureFixture[str]


def repaired(captured: Captured) -> tuple[int, list[str]]:
    """The exit code, and what was printed."""
    code = repair(None)
    return code, captured.readouterr().out.splitlines()


def whole(remote: Path) -> str:
    return f"All 6 objects of dvc.lock are in the remote 'store' ({remote}): 0.0 MB."


def damage(path: Path) -> None:
    """Other bytes of the same size and time, as a disk may have: DVC believes that nothing has happened."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().swapcase())
    path.chmod(0o444)


def test_nothing_to_do(project: Path, remote: Path, capfd: Captured) -> None:
    assert repaired(capfd) == (0, [whole(remote)])


@pytest.mark.parametrize(
    ("oid", "shown"),
    [(TOTAL, "data/total.txt of total"), (DRAW, "data/draw of draw"), (SECOND, "data/draw/1.txt of draw")],
)
def test_an_object_comes_from_the_cache(remote: Path, cache: Path, capfd: Captured, oid: str, shown: str) -> None:
    stored(remote, oid).unlink()
    assert repaired(capfd) == (0, [f"{shown} ({oid}) missing: uploaded from the cache", whole(remote)])
    assert stored(remote, oid).read_bytes() == stored(cache, oid).read_bytes()
    assert stored(remote, oid).stat().st_mode & 0o777 == 0o444


def test_what_is_damaged_in_the_remote_is_replaced(remote: Path, capfd: Captured) -> None:
    stored(remote, THIRD).chmod(0o644)
    stored(remote, THIRD).write_text("number")
    assert repaired(capfd) == (
        0,
        [f"data/draw/2.txt of draw ({THIRD}) has another content: uploaded from the cache", whole(remote)],
    )
    assert stored(remote, THIRD).read_text() == "number 2\n" * 3


def test_a_damaged_cache_is_never_uploaded(project: Path, remote: Path, cache: Path, capfd: Captured) -> None:
    stored(remote, TOTAL).unlink()
    damage(stored(cache, TOTAL))
    assert repaired(capfd) == (
        0,
        [
            f"data/total.txt of total ({TOTAL}): the cache's copy is damaged; removed",
            f"data/total.txt of total ({TOTAL}) missing: uploaded from the workspace",
            whole(remote),
        ],
    )
    assert stored(remote, TOTAL).read_bytes() == (project / "data" / "total.txt").read_bytes()
    assert not stored(cache, TOTAL).exists()


def test_without_a_cache_everything_comes_from_the_workspace(remote: Path, cache: Path, capfd: Captured) -> None:
    """The list of the folder's files first: only then it is known what else is missing."""
    shutil.rmtree(cache)
    for oid in (FIRST, SECOND, THIRD, DRAW):
        stored(remote, oid).unlink()
    assert repaired(capfd) == (
        0,
        [
            f"data/draw of draw ({DRAW}) missing, and which files belong to it is not known: uploaded from the "
            "workspace",
            f"data/draw/0.txt of draw ({FIRST}) missing: uploaded from the workspace",
            f"data/draw/1.txt of draw ({SECOND}) missing: uploaded from the workspace",
            f"data/draw/2.txt of draw ({THIRD}) missing: uploaded from the workspace",
            whole(remote),
        ],
    )


def test_what_is_nowhere_is_built_again_sources_first(
    project: Path, remote: Path, cache: Path, capfd: Captured
) -> None:
    shutil.rmtree(cache)
    shutil.rmtree(project / "data")
    for oid in (SECOND, TOTAL):
        stored(remote, oid).unlink()
    code, printed = repaired(capfd)
    assert (code, printed) == (
        0,
        [
            f"data/draw/1.txt of draw ({SECOND}) missing: nowhere on this machine; building it again",
            f"data/draw/1.txt of draw ({SECOND}) missing: built again by draw, equal",
            f"data/total.txt of total ({TOTAL}) missing: nowhere on this machine; building it again",
            f"data/total.txt of total ({TOTAL}) missing: built again by total, equal",
            whole(remote),
        ],
    )
    shutil.rmtree(cache)
    run_dvc(project, "pull")
    assert run_dvc(project, "status").stdout == "Data and pipelines are up to date.\n"


def test_what_a_stage_needs_is_pulled(project: Path, remote: Path, cache: Path, capfd: Captured) -> None:
    shutil.rmtree(cache)
    shutil.rmtree(project / "data")
    shutil.rmtree(project / "reports")
    stored(remote, METRICS).unlink()
    code, printed = repaired(capfd)
    assert (code, printed[1:]) == (
        0,
        [f"reports/metrics.json of score ({METRICS}) missing: built again by score, equal", whole(remote)],
    )
    assert not (project / "data" / "draw").exists()


def test_what_came_out_different_is_not_called_mended(
    project: Path, remote: Path, cache: Path, capfd: Captured
) -> None:
    stored(remote, METRICS).unlink()
    stored(cache, METRICS).unlink()
    (project / "reports" / "metrics.json").unlink()
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("weight: 10", "weight: 20"))
    code, printed = repaired(capfd)
    assert (code, printed[1]) == (
        1,
        f"reports/metrics.json of score ({METRICS}) came out different and cannot be had again: code, parameters, "
        "packages or sources have changed since, or the stage does not give the same bytes twice. dvc.lock now names "
        "what came out. Run `dvc repro` for what follows from it, then `dvc push` and `boxline record`.",
    )
    assert printed[2:] == [
        "reports/metrics.json of score (259606ea71e618fa60b8030962fc4a74) missing: uploaded from the cache",
        whole(remote),
    ]


def test_a_stage_that_fails_is_named_with_what_to_do(project: Path, remote: Path, cache: Path, capfd: Captured) -> None:
    stored(remote, METRICS).unlink()
    stored(cache, METRICS).unlink()
    (project / "reports" / "metrics.json").unlink()
    (project / "make.py").write_text("raise SystemExit('broken')")
    assert repaired(capfd) == (
        1,
        [
            f"reports/metrics.json of score ({METRICS}) missing: nowhere on this machine; building it again",
            "`dvc repro --single-item --force score` ended with exit code 255, see above.",
            f"reports/metrics.json of score ({METRICS}) is still missing. Once its stage works again: dvc repro score "
            "&& dvc push",
            f"reports/metrics.json of score ({METRICS}): missing",
            f"1 of 6 objects of dvc.lock are missing or damaged in the remote 'store' ({remote}). `boxline repair` "
            "mends what it can.",
        ],
    )


def test_data_that_no_stage_makes_can_only_be_put_back(
    project: Path, remote: Path, cache: Path, capfd: Captured
) -> None:
    (project / "photo.txt").write_text("photo")
    run_dvc(project, "add", "photo.txt")
    shutil.rmtree(cache)
    (project / "photo.txt").unlink()
    code, printed = repaired(capfd)
    oid = "5ae0c1c8a5260bc7b6648f6fbd115c35"
    assert (code, printed[0]) == (
        1,
        f"photo.txt of photo.txt.dvc ({oid}) is lost: no stage makes it. Put photo.txt back as it was, then: dvc "
        "commit photo.txt.dvc && dvc push",
    )
