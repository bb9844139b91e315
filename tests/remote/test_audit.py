"""`boxline verify` on a local remote with missing and corrupt objects."""

import shutil
from pathlib import Path

import pytest

from pipeline.cli.verify import verify
from pipeline.core.errors import BoxlineError
from tests.support.recorded_project import DRAW, METRICS, SECOND, THIRD, TOTAL, git, stored
from tests.support.tiny_project import run_dvc

pytestmark = pytest.mark.slow

Captured = pytest.CaptureFixture[str]


def run_verify(captured: Captured) -> tuple[int, list[str]]:
    """Return the exit code and the printed lines."""
    code = verify()
    return code, captured.readouterr().out.splitlines()


def verify_error(name: str | None = None) -> str:
    with pytest.raises(BoxlineError) as raised:
        verify(remote=name)
    return str(raised.value)


def incomplete(number: int, remote: Path) -> str:
    return (
        f"{number} of 6 objects of dvc.lock are missing or corrupt in the remote 'store' ({remote}). `boxline repair` "
        "restores what it can."
    )


def complete(remote: Path) -> str:
    return f"All 6 objects of dvc.lock are in the remote 'store' ({remote}): 0.0 MB."


def test_complete_remote_and_unchanged_settings(project: Path, remote: Path, capsys: Captured) -> None:
    assert run_verify(capsys) == (0, [complete(remote)])
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
def test_missing_object_is_reported(remote: Path, capsys: Captured, oid: str, shown: str) -> None:
    stored(remote, oid).unlink()
    assert run_verify(capsys) == (1, [f"{shown} ({oid}): missing", incomplete(1, remote)])


def test_audit_ignores_what_dvc_has_cached_about_the_remote(project: Path, remote: Path, capsys: Captured) -> None:
    run_dvc(project, "push")
    stored(remote, SECOND).unlink()
    assert run_dvc(project, "push").stdout == "Everything is up to date.\n"
    assert run_dvc(project, "status", "--cloud").stdout == "Cache and remote 'store' are in sync.\n"
    assert run_verify(capsys) == (1, [f"data/draw/1.txt of draw ({SECOND}): missing", incomplete(1, remote)])


def test_objects_missing_from_cache_at_push_are_reported(
    project: Path, remote: Path, cache: Path, capsys: Captured
) -> None:
    shutil.rmtree(remote)
    stored(cache, TOTAL).unlink()
    stored(cache, SECOND).unlink()
    run_dvc(project, "push")
    assert run_verify(capsys) == (
        1,
        [
            f"data/total.txt of total ({TOTAL}): missing",
            f"data/draw of draw ({DRAW}): missing",
            f"data/draw/1.txt of draw ({SECOND}): missing",
            incomplete(3, remote),
        ],
    )


def test_listings_are_read_from_remote_if_cache_is_empty(remote: Path, cache: Path, capsys: Captured) -> None:
    shutil.rmtree(cache)
    assert run_verify(capsys) == (0, [complete(remote)])
    stored(remote, THIRD).unlink()
    assert run_verify(capsys) == (1, [f"data/draw/2.txt of draw ({THIRD}): missing", incomplete(1, remote)])


def test_files_of_directory_without_listing_are_unknown(remote: Path, cache: Path, capsys: Captured) -> None:
    shutil.rmtree(cache)
    stored(remote, DRAW).unlink()
    code, printed = run_verify(capsys)
    assert (code, printed[0]) == (1, f"data/draw of draw ({DRAW}): missing, and so is the list of its files")
    assert printed[1].startswith("1 of 3 objects of dvc.lock are missing or corrupt")


def test_truncated_objects_are_detected_by_size(remote: Path, capsys: Captured) -> None:
    """A killed upload over SSH leaves a partial file under the final name."""
    for oid in (TOTAL, DRAW, THIRD):
        path = stored(remote, oid)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:5])
    assert run_verify(capsys) == (
        1,
        [
            f"data/total.txt of total ({TOTAL}): has 5 bytes instead of 54",
            f"data/draw of draw ({DRAW}): has 5 bytes instead of 195",
            f"data/draw/2.txt of draw ({THIRD}): has different content",
            incomplete(3, remote),
        ],
    )


def test_corrupt_listing_in_cache_is_ignored(remote: Path, cache: Path, capsys: Captured) -> None:
    path = stored(cache, DRAW)
    path.chmod(0o644)
    path.write_text("[]")
    assert run_verify(capsys) == (0, [complete(remote)])


def test_outputs_with_push_false_are_not_expected(project: Path, remote: Path, capsys: Captured) -> None:
    stages = project / "dvc.yaml"
    stages.write_text(stages.read_text().replace("[data/total.txt]", "[{data/total.txt: {push: false}}]"))
    stored(remote, TOTAL).unlink()
    assert run_verify(capsys) == (0, [complete(remote).replace("All 6", "All 5")])


def test_errors_of_remote_and_project_have_clear_messages(project: Path, remote: Path) -> None:
    assert verify_error("other") == (
        "There is no remote 'other'. Expected one that `dvc remote list` shows; correct --remote."
    )
    remote.rename(remote.with_name("unmounted"))
    assert verify_error() == (
        f"The remote 'store' ({remote}) does not exist, or nothing was ever pushed to it ([Errno 2] No such file or "
        f"directory: '{remote}'). Check `dvc remote list`, mount the disk or create the bucket; then run `dvc "
        "push`."
    )
    run_dvc(project, "remote", "modify", "store", "url", "gs://bucket/numbers")
    assert verify_error() == (
        "DVC cannot use the remote: gs is supported, but requires 'dvc-gs' to be installed. See `dvc remote list`."
    )
    run_dvc(project, "remote", "remove", "store")
    assert verify_error() == (
        "There is no default remote. Choose a remote with --remote, or add a default one: dvc remote add --default "
        "NAME ADDRESS"
    )
    lock = project / "dvc.lock"
    lock.write_text("stages: [")
    assert verify_error() == (
        "DVC cannot read dvc.yaml and dvc.lock: unable to read: 'dvc.lock', YAML file structure is corrupted. "
        "`dvc status` shows details."
    )
    lock.unlink()
    assert verify_error() == (
        "There is no dvc.lock in the current folder, so there is no run. `dvc repro` creates one; run this from the "
        "project's root folder."
    )
    shutil.rmtree(project / ".dvc")
    assert verify_error() == (
        "The current folder is not a DVC project: it has no .dvc. Run this from the project's root folder."
    )
