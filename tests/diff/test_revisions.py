"""Tables in folders, in the working tree, and at revisions, with real Git and DVC."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.parquet import write_table
from pipeline.datasets.annotations import Tables
from pipeline.diff.revisions import at_revision, folder_of_tables, open_revision, working_tree
from tests.support.scenes import box, files_of, image, tables
from tests.support.servers import serving_folder
from tests.support.tiny_project import run_dvc

FIRST = tables([image(7), image(3, "train", width=100, height=80)], [box(1, 7, 5, (10.5, 20, 30, 40))])
SECOND = tables([image(7)], [box(1, 7, 2, (10.5, 20, 30, 40)), box(2, 7, 5, (1, 2, 3, 4))])
ZSTD = b"\x28\xb5\x2f\xfd"
"""First bytes of a zstd frame in a Parquet file."""

GIT = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.com"]


def git(folder: Path, *args: str) -> str:
    return subprocess.run([*GIT, *args], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def record(project: Path, given: Tables, message: str) -> None:
    """Write the dataset `shapes`, add it to DVC and commit."""
    folder = project / "data" / "shapes"
    given.write(folder / "validate")
    write_table(folder / "validate" / "files.parquet", files_of(given.images), schema.FILES)
    (folder / "download" / "zips").mkdir(parents=True, exist_ok=True)
    (folder / "download" / "zips" / "val2017.zip").write_text(message)
    run_dvc(project, "add", "--quiet", "data/shapes/validate", "data/shapes/download")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", message)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with tags: `empty` without tables, then `one` with the tables FIRST and `two` with SECOND."""
    project = tmp_path_factory.mktemp("recorded") / "project"
    project.mkdir()
    git(project, "init", "--quiet", "--initial-branch", "main")
    run_dvc(project, "init", "--quiet")
    git(project, "commit", "--quiet", "--message", "empty")
    git(project, "tag", "empty")
    for name, given in (("one", FIRST), ("two", SECOND)):
        record(project, given, name)
        git(project, "tag", name)
    return project


@pytest.fixture
def project(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy, which is the current folder. It has its own site cache of DVC, so that tests are independent."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    copy = Path(shutil.copytree(recorded, tmp_path / "project", symlinks=True))
    monkeypatch.chdir(copy)
    return copy


def are_equal(given: Tables, expected: Tables) -> bool:
    pairs = zip(vars(given).values(), vars(expected).values(), strict=True)
    return all(one.equals(other) for one, other in pairs)


def error_of(name: str) -> str:
    with pytest.raises(BoxlineError) as raised, open_revision(name) as version:
        version.tables("shapes")
    return str(raised.value)


def run_python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run code in a subprocess, because DVC leaves connections to remotes open until the process ends."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", code, *args], check=False, capture_output=True, text=True, env=environment
    )


@pytest.mark.slow
def test_revisions_are_read_without_changing_the_working_tree(project: Path) -> None:
    changed = tables([image(7)], [])
    changed.write(project / "data" / "shapes" / "validate")
    for name, expected in (("one", FIRST), ("two", SECOND), ("HEAD", SECOND), ("main", SECOND), ("HEAD~1", FIRST)):
        with at_revision(name) as version:
            assert version.datasets == ["shapes"]
            assert are_equal(version.tables("shapes"), expected)
    assert are_equal(working_tree().tables("shapes"), changed)
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.slow
def test_name_of_revision_contains_its_commit(project: Path) -> None:
    commit = git(project, "rev-parse", "one")
    for revision, name in (("one", f"one ({commit[:7]})"), (commit[:9], commit[:9]), (commit, commit)):
        with at_revision(revision) as version:
            assert version.name == name


@pytest.mark.slow
def test_optional_tables_are_read_by_column(project: Path) -> None:
    with at_revision("one") as version:
        files = version.table("shapes", "files.parquet", pa.schema([schema.FILES.field("sha256")]))
        assert files is not None
        assert files.to_pydict() == {"sha256": [f"{7:064x}", f"{3:064x}"]}
        assert version.table("shapes", "quarantine.parquet", schema.QUARANTINE) is None


@pytest.mark.slow
def test_archives_of_revision_are_files_in_cache(project: Path) -> None:
    with at_revision("one") as version:
        archive = version.archive("shapes", "zips/val2017.zip")
        assert archive is not None
        assert archive.is_relative_to(project / ".dvc" / "cache")
        assert archive.read_text() == "one"
        assert version.archive("shapes", "zips/other.zip") is None


@pytest.mark.slow
def test_clone_reads_from_remote_without_pull(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remote is configured in a file that Git does not track, so older revisions lack it."""
    run_dvc(project, "remote", "add", "--local", "--default", "store", str(tmp_path / "remote"))
    run_dvc(project, "push", "--quiet", "--all-commits")
    git(tmp_path, "clone", "--quiet", str(project), "clone")
    clone = tmp_path / "clone"
    run_dvc(clone, "remote", "add", "--local", "--default", "store", "../remote")
    monkeypatch.chdir(clone)
    for name, expected in (("one", FIRST), ("two", SECOND)):
        with at_revision(name) as version:
            assert are_equal(version.tables("shapes"), expected)
            archive = version.archive("shapes", "zips/val2017.zip")
            assert archive is not None
            assert archive.is_relative_to(tmp_path / "remote")
    assert not (clone / "data" / "shapes" / "validate").exists()


@pytest.mark.slow
def test_tables_of_http_remote_are_cached_and_archives_not_downloaded(project: Path, tmp_path: Path) -> None:
    run_dvc(project, "remote", "add", "--local", "--default", "store", str(tmp_path / "remote"))
    run_dvc(project, "push", "--quiet", "--all-commits")
    shutil.rmtree(project / ".dvc" / "cache")
    with serving_folder(tmp_path / "remote") as address:
        run_dvc(project, "remote", "modify", "--local", "store", "url", address)
        result = run_python(
            "from pipeline.diff.revisions import at_revision\n"
            "with at_revision('one') as version:\n"
            "    version.tables('shapes')\n"
            "    print(version.archive('shapes', 'zips/val2017.zip'))"
        )
        assert (result.stdout, result.stderr) == ("None\n", "")
    cached = [path.read_bytes() for path in (project / ".dvc" / "cache" / "files").rglob("*") if path.is_file()]
    assert sum(content.startswith(b"PAR1") for content in cached) == 3
    assert b"one" not in cached
    with at_revision("one") as version:  # the server is stopped
        assert are_equal(version.tables("shapes"), FIRST)


@pytest.mark.slow
def test_missing_objects_raise_error_with_advice(project: Path) -> None:
    run_dvc(project, "gc", "--workspace", "--force", "--quiet")
    commit = git(project, "rev-parse", "--short=7", "one")
    assert error_of("one") == (
        f"data/shapes/validate/images.parquet of one ({commit}) is neither in DVC's cache nor in its remote. Run "
        f"`dvc push` at that commit on the machine that built it, or build it again: git checkout {commit} && dvc "
        "repro validate@shapes"
    )
    with at_revision("one") as version:
        assert version.archive("shapes", "zips/val2017.zip") is None
    with at_revision("two") as version:
        assert are_equal(version.tables("shapes"), SECOND)


@pytest.mark.slow
def test_unreachable_remote_raises_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    run_dvc(project, "remote", "add", "--default", "store", "s3://bucket/boxline")
    run_dvc(project, "remote", "modify", "store", "endpointurl", "http://127.0.0.1:9")
    shutil.rmtree(project / ".dvc" / "cache")
    commit = git(project, "rev-parse", "--short=7", "two")
    [message] = run_python("from pipeline.cli.main import main; main()", "diff", "two").stderr.splitlines()
    assert message.startswith(
        f"Error: data/shapes/validate/images.parquet of two ({commit}) could not be read from DVC's remote (Could not "
        "connect to the endpoint"
    )
    assert message.endswith("). Check `dvc remote list` and the remote's credentials.")


@pytest.mark.slow
def test_revision_without_tables_and_unknown_revision_have_own_errors(project: Path) -> None:
    commit = git(project, "rev-parse", "--short=7", "empty")
    assert error_of("empty") == (
        f"empty ({commit}) has no tables: its dvc.lock is missing or has no data/<dataset>/validate. After "
        "`dvc repro`, commit dvc.lock: git add dvc.lock && git commit"
    )
    assert error_of("three") == (
        "'three' is not a folder with images.parquet, boxes.parquet, categories.parquet, and 'three' is not a Git "
        "revision. `git log --oneline` lists them."
    )
    with pytest.raises(BoxlineError) as raised, at_revision("three"):
        pass
    assert str(raised.value) == "'three' is not a Git revision. `git log --oneline` lists them."


@pytest.mark.slow
def test_project_without_git_has_no_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    no_folder = "'HEAD' is not a folder with images.parquet, boxes.parquet, categories.parquet, and"
    assert error_of("HEAD") == (
        f"{no_folder} 'HEAD' is not a Git revision, since the current folder is not a DVC project. Run this from "
        "the project's root folder."
    )
    run_dvc(tmp_path, "init", "--quiet", "--no-scm")
    assert error_of("HEAD") == f"{no_folder} 'HEAD' is not a Git revision. `git log --oneline` lists them."


def test_folder_of_tables_is_one_dataset(tmp_path: Path) -> None:
    FIRST.write(tmp_path / "shapes" / "validate")
    version = folder_of_tables(tmp_path / "shapes" / "validate")
    assert (version.name, version.datasets) == (f"{tmp_path}/shapes/validate", ["shapes"])
    assert are_equal(version.tables("shapes"), FIRST)
    assert version.table("shapes", "files.parquet", schema.FILES) is None
    assert version.archive("shapes", "zips/val2017.zip") is None
    (tmp_path / "shapes" / "download" / "zips").mkdir(parents=True)
    archive = tmp_path / "shapes" / "download" / "zips" / "val2017.zip"
    archive.touch()
    assert version.archive("shapes", "zips/val2017.zip") == archive
    (tmp_path / "private.zip").touch()
    for name in ("../../private.zip", str(tmp_path / "private.zip"), "zips"):
        assert version.archive("shapes", name) is None
    shutil.copytree(tmp_path / "shapes" / "validate", tmp_path / "shapes" / "tables")
    assert folder_of_tables(tmp_path / "shapes" / "tables").datasets == ["shapes"]


def test_folder_with_images_parquet_is_not_a_revision(tmp_path: Path) -> None:
    FIRST.write(tmp_path / "mine")
    with open_revision(str(tmp_path / "mine")) as version:
        assert (version.datasets, version.is_folder) == (["mine"], True)
    (tmp_path / "mine" / "boxes.parquet").unlink()
    assert error_of(str(tmp_path / "mine")) == (
        f"{tmp_path}/mine is not a folder of tables: boxes.parquet not found, expected images.parquet, boxes.parquet, "
        "categories.parquet."
    )


def test_working_tree_has_validated_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BoxlineError) as raised:
        working_tree()
    assert str(raised.value) == (
        "The working tree has no data/<dataset>/validate. Run this from the project's root folder, after `dvc pull` or "
        "`dvc repro`."
    )
    for name in ("shapes", "digits"):
        FIRST.write(tmp_path / "data" / name / "validate")
    (tmp_path / "data" / "shapes_yolo" / "pack").mkdir(parents=True)
    version = working_tree()
    assert (version.name, version.datasets, version.is_folder) == ("working tree", ["digits", "shapes"], False)
    (tmp_path / "data" / "digits" / "validate" / "categories.parquet").unlink()
    with pytest.raises(BoxlineError) as raised:
        version.tables("digits")
    assert (
        str(raised.value) == "digits of working tree has no categories.parquet. `dvc repro validate@digits` creates it."
    )


def test_unknown_columns_are_ignored_and_other_types_rejected(tmp_path: Path) -> None:
    FIRST.write(tmp_path / "mine")
    more = FIRST.images.append_column("sha256", pa.array(["a", "b"]))
    write_table(tmp_path / "mine" / "images.parquet", more.select(more.column_names[::-1]), more.schema)
    version = folder_of_tables(tmp_path / "mine")
    assert are_equal(version.tables("mine"), FIRST)
    for columns, violation in (
        (FIRST.images.drop_columns("height"), "column height is missing, expected int32 in px"),
        (FIRST.images.set_column(3, "width", pa.array([1.5, 2])), "column width is double, expected int32 in px"),
        (
            FIRST.images.cast(schema.IMAGES.set(3, schema.IMAGES.field("width").with_metadata({"unit": "mm"}))),
            "column width is int32 in mm, expected int32 in px",
        ),
    ):
        write_table(tmp_path / "mine" / "images.parquet", columns, columns.schema)
        with pytest.raises(BoxlineError) as raised:
            version.tables("mine")
        assert str(raised.value) == (
            f"images.parquet of mine, {tmp_path}/mine: {violation}. The table was written by another version of "
            "Boxline; `dvc repro` builds it again."
        )


def test_file_that_is_not_parquet_is_rejected(tmp_path: Path) -> None:
    FIRST.write(tmp_path / "mine")
    (tmp_path / "mine" / "boxes.parquet").write_text("boxes")
    with pytest.raises(BoxlineError) as raised:
        folder_of_tables(tmp_path / "mine").tables("mine")
    assert str(raised.value).startswith(f"boxes.parquet of mine, {tmp_path}/mine is not a Parquet table (")
    assert str(raised.value).endswith("). `dvc repro` builds it again.")


def test_corrupt_table_is_rejected(tmp_path: Path) -> None:
    FIRST.write(tmp_path / "mine")
    path = tmp_path / "mine" / "boxes.parquet"
    content = path.read_bytes()
    path.write_bytes(content.replace(ZSTD, ZSTD[::-1], 1))
    with pytest.raises(BoxlineError) as raised:
        folder_of_tables(tmp_path / "mine").tables("mine")
    assert str(raised.value) == (
        f"boxes.parquet of mine, {tmp_path}/mine is not a Parquet table (ZSTD decompression failed: Unknown frame "
        "descriptor). `dvc repro` builds it again."
    )


def test_nullability_is_not_compared_but_nulls_are_rejected(tmp_path: Path) -> None:
    FIRST.write(tmp_path / "mine")
    loose = pa.schema([field.with_nullable(True) for field in schema.IMAGES])
    write_table(tmp_path / "mine" / "images.parquet", FIRST.images.cast(loose), loose)
    version = folder_of_tables(tmp_path / "mine")
    assert are_equal(version.tables("mine"), FIRST)
    without = FIRST.images.cast(loose).set_column(1, loose.field("split"), pa.array(["val", None]))
    write_table(tmp_path / "mine" / "images.parquet", without, loose)
    with pytest.raises(BoxlineError) as raised:
        version.tables("mine")
    assert str(raised.value) == (
        f"images.parquet of mine, {tmp_path}/mine: column split has no value in 1 of 2 rows, expected one in each. "
        "Correct the table, or build it again with `dvc repro`."
    )


def test_folders_and_working_tree_do_not_import_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FIRST.write(tmp_path / "data" / "shapes" / "validate")
    monkeypatch.chdir(tmp_path)
    result = run_python(
        "import sys, pipeline.cli.main, pipeline.cli.diff\n"
        "from pipeline.diff.revisions import open_revision, working_tree\n"
        "with open_revision('data/shapes/validate') as version:\n"
        "    version.tables('shapes')\n"
        "working_tree().tables('shapes')\n"
        "print([name for name in ('dvc', 'tensorflow') if name in sys.modules])"
    )
    assert (result.stdout, result.stderr) == ("[]\n", "")
