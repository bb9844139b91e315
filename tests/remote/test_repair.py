"""`boxline repair` with each source of missing objects, and its advice if there is none."""

import shutil
from pathlib import Path

import pytest

from pipeline.cli.repair import repair
from tests.support.recorded_project import DRAW, FIRST, METRICS, SECOND, THIRD, TOTAL, stored
from tests.support.tiny_project import run_dvc

# DVC's graph uses a deprecated method of its trie.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc.*")]

Captured = pytest.CaptureFixture[str]


def run_repair(captured: Captured) -> tuple[int, list[str]]:
    """Return the exit code and the printed lines."""
    code = repair()
    return code, captured.readouterr().out.splitlines()


def complete(remote: Path) -> str:
    return f"All 6 objects of dvc.lock are in the remote 'store' ({remote}): 0.0 MB."


def corrupt(path: Path) -> None:
    """Change the bytes of a file but not its size and time, so that DVC does not notice, as a bad disk may do."""
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().swapcase())
    path.chmod(0o444)


def test_complete_remote_needs_no_repair(project: Path, remote: Path, capfd: Captured) -> None:
    assert run_repair(capfd) == (0, [complete(remote)])


@pytest.mark.parametrize(
    ("oid", "shown"),
    [(TOTAL, "data/total.txt of total"), (DRAW, "data/draw of draw"), (SECOND, "data/draw/1.txt of draw")],
)
def test_missing_object_is_uploaded_from_cache(
    remote: Path, cache: Path, capfd: Captured, oid: str, shown: str
) -> None:
    stored(remote, oid).unlink()
    assert run_repair(capfd) == (0, [f"{shown} ({oid}) missing: uploaded from the cache", complete(remote)])
    assert stored(remote, oid).read_bytes() == stored(cache, oid).read_bytes()
    assert stored(remote, oid).stat().st_mode & 0o777 == 0o444


def test_corrupt_object_in_remote_is_replaced(remote: Path, capfd: Captured) -> None:
    stored(remote, THIRD).chmod(0o644)
    stored(remote, THIRD).write_text("number")
    assert run_repair(capfd) == (
        0,
        [f"data/draw/2.txt of draw ({THIRD}) has different content: uploaded from the cache", complete(remote)],
    )
    assert stored(remote, THIRD).read_text() == "number 2\n" * 3


def test_corrupt_cache_file_is_removed_and_not_uploaded(
    project: Path, remote: Path, cache: Path, capfd: Captured
) -> None:
    stored(remote, TOTAL).unlink()
    corrupt(stored(cache, TOTAL))
    assert run_repair(capfd) == (
        0,
        [
            f"data/total.txt of total ({TOTAL}): the cache's copy is corrupt; removed",
            f"data/total.txt of total ({TOTAL}) missing: uploaded from the workspace",
            complete(remote),
        ],
    )
    assert stored(remote, TOTAL).read_bytes() == (project / "data" / "total.txt").read_bytes()
    assert not stored(cache, TOTAL).exists()


def test_missing_objects_are_uploaded_from_workspace_without_cache(remote: Path, cache: Path, capfd: Captured) -> None:
    """The listing of the folder is restored first, since it reveals which files are missing."""
    shutil.rmtree(cache)
    for oid in (FIRST, SECOND, THIRD, DRAW):
        stored(remote, oid).unlink()
    assert run_repair(capfd) == (
        0,
        [
            f"data/draw of draw ({DRAW}) missing, and so is the list of its files: uploaded from the workspace",
            f"data/draw/0.txt of draw ({FIRST}) missing: uploaded from the workspace",
            f"data/draw/1.txt of draw ({SECOND}) missing: uploaded from the workspace",
            f"data/draw/2.txt of draw ({THIRD}) missing: uploaded from the workspace",
            complete(remote),
        ],
    )


def test_objects_without_copy_are_rebuilt_in_pipeline_order(
    project: Path, remote: Path, cache: Path, capfd: Captured
) -> None:
    shutil.rmtree(cache)
    shutil.rmtree(project / "data")
    for oid in (SECOND, TOTAL):
        stored(remote, oid).unlink()
    code, printed = run_repair(capfd)
    assert (code, printed) == (
        0,
        [
            f"data/draw/1.txt of draw ({SECOND}) missing: not on this machine; rebuilding it",
            f"data/draw/1.txt of draw ({SECOND}) missing: rebuilt by draw, identical",
            f"data/total.txt of total ({TOTAL}) missing: not on this machine; rebuilding it",
            f"data/total.txt of total ({TOTAL}) missing: rebuilt by total, identical",
            complete(remote),
        ],
    )
    shutil.rmtree(cache)
    run_dvc(project, "pull")
    assert run_dvc(project, "status").stdout == "Data and pipelines are up to date.\n"


def test_missing_dependencies_of_rebuilt_stage_are_pulled(
    project: Path, remote: Path, cache: Path, capfd: Captured
) -> None:
    shutil.rmtree(cache)
    shutil.rmtree(project / "data")
    shutil.rmtree(project / "reports")
    stored(remote, METRICS).unlink()
    code, printed = run_repair(capfd)
    assert (code, printed[1:]) == (
        0,
        [f"reports/metrics.json of score ({METRICS}) missing: rebuilt by score, identical", complete(remote)],
    )
    assert not (project / "data" / "draw").exists()


def test_different_output_of_rebuilt_stage_is_reported(
    project: Path, remote: Path, cache: Path, capfd: Captured
) -> None:
    stored(remote, METRICS).unlink()
    stored(cache, METRICS).unlink()
    (project / "reports" / "metrics.json").unlink()
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("weight: 10", "weight: 20"))
    code, printed = run_repair(capfd)
    assert (code, printed[1]) == (
        1,
        f"reports/metrics.json of score ({METRICS}) cannot be restored, since its stage built something different: "
        "code, parameters, packages or sources have changed, or the stage is not deterministic. dvc.lock now refers to "
        "the new output. Run `dvc repro` for the stages that depend on it, then `dvc push` and `boxline record`.",
    )
    assert printed[2:] == [
        "reports/metrics.json of score (259606ea71e618fa60b8030962fc4a74) missing: uploaded from the cache",
        complete(remote),
    ]


def test_failed_stage_is_reported_with_advice(project: Path, remote: Path, cache: Path, capfd: Captured) -> None:
    stored(remote, METRICS).unlink()
    stored(cache, METRICS).unlink()
    (project / "reports" / "metrics.json").unlink()
    (project / "make.py").write_text("raise SystemExit('broken')")
    assert run_repair(capfd) == (
        1,
        [
            f"reports/metrics.json of score ({METRICS}) missing: not on this machine; rebuilding it",
            "`dvc repro --single-item --force score` failed with exit code 255, see above.",
            f"reports/metrics.json of score ({METRICS}) is still missing. Once its stage works again: dvc repro score "
            "&& dvc push",
            f"reports/metrics.json of score ({METRICS}): missing",
            f"1 of 6 objects of dvc.lock are missing or corrupt in the remote 'store' ({remote}). `boxline repair` "
            "restores what it can.",
        ],
    )


def test_lost_data_without_stage_is_reported_with_advice(
    project: Path, remote: Path, cache: Path, capfd: Captured
) -> None:
    (project / "photo.txt").write_text("photo")
    run_dvc(project, "add", "photo.txt")
    shutil.rmtree(cache)
    (project / "photo.txt").unlink()
    code, printed = run_repair(capfd)
    oid = "5ae0c1c8a5260bc7b6648f6fbd115c35"
    assert (code, printed[0]) == (
        1,
        f"photo.txt of photo.txt.dvc ({oid}) is lost: no stage builds it. Restore photo.txt, then: dvc commit "
        "photo.txt.dvc && dvc push",
    )
