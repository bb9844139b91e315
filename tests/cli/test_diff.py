import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.diff import diff, paired_datasets
from pipeline.core.errors import BoxlineError
from pipeline.diff.revisions import DatasetVersion, folder_of_tables, working_tree
from tests.support import diff_scene as scene
from tests.support.pages import Parts
from tests.support.tiny_project import tiny_params, write_params

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the tables of the scene in old/validate and new/validate."""
    scene.write_before(tmp_path / "old")
    scene.write_after(tmp_path / "new")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error_message(before: str, after: str | None, dataset: list[str], out: Path = Path("diff.html")) -> str:
    with pytest.raises(BoxlineError) as raised:
        diff(before, after, dataset=dataset, out=out)
    assert not Path("diff.html").exists()
    return str(raised.value)


def test_two_folders_are_compared_in_print_and_on_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff("old/validate", "new/validate", out=Path("reports/mine.html")) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:4] == ["old/validate -> new/validate", "", "new", "             before  after  added  removed"]
    assert said[-2:] == ["", "Page: reports/mine.html"]
    page = Parts((folder / "reports" / "mine.html").read_text(encoding="utf-8")).data()
    assert (page["before"], page["after"], page["remarks"]) == ("old/validate", "new/validate", [])
    [shown] = page["datasets"]
    assert (shown["name"], shown["images_changed"], len(shown["previews"])) == ("new", 5, 5)


def test_folder_does_not_differ_from_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff("old/validate", "old/validate") == 0
    assert capsys.readouterr().out == ("old/validate -> old/validate\n\nold: no differences\n\nPage: diff.html\n")


def test_second_revision_defaults_to_working_tree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("new", "data/shapes")
    assert diff("old/validate", None) == 0
    assert capsys.readouterr().out.startswith("old/validate -> working tree\n\nshapes\n")


def test_only_pages_of_boxline_are_replaced(folder: Path) -> None:
    for _ in range(2):
        assert diff("old/validate", "new/validate") == 0
    Path("diff.html").unlink()
    Path("mine.html").write_text("<!DOCTYPE html><title>My notes</title>")
    assert error_message("old/validate", "new/validate", [], Path("mine.html")) == (
        "mine.html exists and is not a page of Boxline. Choose another path for --out."
    )
    assert Path("mine.html").read_text() == "<!DOCTYPE html><title>My notes</title>"


def test_unwritable_page_is_reported(folder: Path) -> None:
    Path("notes").touch()
    assert error_message("old/validate", "new/validate", [], Path("old")) == (
        "--out is old, a folder; expected a file. Name one in it: old/NAME"
    )
    assert error_message("old/validate", "new/validate", [], Path("notes/more/mine.html")) == (
        "--out is notes/more/mine.html, but notes is not a folder. Name a file in a folder."
    )


def test_project_datasets_are_paired_by_name(folder: Path) -> None:
    one, other = project("one", "coco", "digits", "snacks"), project("other", "coco", "rectangles", "snacks")
    assert paired_datasets(one, other, []) == (
        [("coco", "coco"), ("snacks", "snacks")],
        ["digits is only in one.", "rectangles is only in other."],
    )
    assert paired_datasets(one, other, ["snacks"]) == ([("snacks", "snacks")], [])


def test_folder_is_paired_by_name_or_with_the_only_dataset(folder: Path) -> None:
    mine = folder_of_tables(Path("old/validate"))
    assert paired_datasets(mine, project("tree", "coco"), [])[0] == [("old", "coco")]
    assert paired_datasets(project("tree", "coco", "old"), mine, [])[0] == [("old", "old")]
    assert paired_datasets(project("tree", "coco", "digits"), mine, ["digits"])[0] == [("digits", "old")]


class Named(DatasetVersion):
    """A project that nobody reads from."""

    def archive(self, dataset: str, path: str) -> Path | None:
        raise NotImplementedError

    def targets_report(self, system: str) -> None:
        raise NotImplementedError

    def _open_table(self, dataset: str, file_name: str) -> None:
        raise NotImplementedError


def project(name: str, *datasets: str) -> DatasetVersion:
    return Named(name, list(datasets))


@pytest.mark.parametrize(
    ("before", "after", "names", "message"),
    [
        (
            ("v1", "coco", "digits"),
            ("tree", "coco"),
            ["cocoo"],
            "v1 has no dataset cocoo; it has coco, digits. Correct --dataset, or leave it out.",
        ),
        (
            ("v1", "coco", "digits"),
            ("tree", "coco"),
            ["coco", "digits"],
            "tree has no dataset digits; it has coco. Correct --dataset, or leave it out.",
        ),
        (
            ("v1", "digits"),
            ("tree", "coco"),
            [],
            "v1 has digits, tree has coco: no dataset is in both. `dvc repro` builds what is missing.",
        ),
        (
            ("v1", "coco", "digits"),
            None,
            [],
            "old/validate is one dataset, v1 has coco, digits. Name the one to compare it with: --dataset coco",
        ),
        (
            None,
            None,
            ["coco"],
            "A folder of tables is one dataset and has no name to choose it by. Leave out --dataset.",
        ),
    ],
)
def test_incomparable_versions_are_reported(
    folder: Path, before: tuple[str, ...] | None, after: tuple[str, ...] | None, names: list[str], message: str
) -> None:
    versions = [project(*words) if words else folder_of_tables(Path("old/validate")) for words in (before, after)]
    with pytest.raises(BoxlineError) as raised:
        paired_datasets(versions[0], versions[1], names)
    assert str(raised.value) == message


def test_command_fails_with_one_line(folder: Path) -> None:
    words = [sys.executable, "-m", "pipeline.cli.main", "diff", "old/validate"]
    environment = {"PYTHONPATH": str(PROJECT)}
    result = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: The working tree has no data/<dataset>/validate. Run this from the project's root folder, after "
        "`dvc pull` or `dvc repro`.\n"
    )
    result = subprocess.run([*words, "new/validate"], check=False, capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("\nPage: diff.html\n")


def test_help_lists_arguments_in_order() -> None:
    words = [sys.executable, "-m", "pipeline.cli.main", "diff", "--help"]
    result = subprocess.run(words, check=True, capture_output=True, text=True, cwd=PROJECT)
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert [line.partition(":")[0] for line in lines if line.startswith(("BEFORE:", "AFTER:"))] == ["BEFORE", "AFTER"]
    assert "The exit code is 0 with and without differences; with --github it is 1 if there is a new leak." in " ".join(
        result.stdout.split()
    )


def test_working_tree_is_read_in_place(folder: Path) -> None:
    shutil.copytree("new", "data/shapes")
    assert working_tree().archive("shapes", "zips/all.zip") == Path("data/shapes/download/zips/all.zip")


# --- in a pull request ------------------------------------------------------------------------------------------------


@pytest.fixture
def project_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose working tree has the tables of the scene after its changes, as the dataset coco."""
    write_params(folder, tiny_params())
    shutil.copytree("new", "data/coco")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
    return folder


def test_new_leak_fails_in_a_pull_request(project_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An image of val is in train now, too."""
    assert diff("old/validate", None, github=True) == 1
    leak = "train/000000000012.jpg = val/000000000011.jpg"
    output = capsys.readouterr().out
    assert f"\n::error title=New leak in coco::{leak}\n" in output
    assert output.endswith("\nPage: diff.html\nFAILS: 1 new leak between splits.\n")
    lines = Path("summary.md").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["## Diff of coco: new leaks", "", f"- **{leak}**"]
    assert "| images | 6 | 6 | 1 | 1 | 2 changed: 1 other pixels, 1 other size, 1 other split |" in lines
    assert "| dog | train | 3 | 3 | +0 |" not in lines
    assert "<script>" not in "\n".join(lines)


def test_leak_of_the_base_does_not_fail(project_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff("new/validate", None, github=True) == 0
    assert "::error" not in capsys.readouterr().out
    assert Path("summary.md").read_text(encoding="utf-8") == "## Diff of coco: no new leaks\n\n\nNo differences.\n\n\n"


def test_new_leak_does_not_fail_elsewhere(project_folder: Path) -> None:
    assert diff("old/validate") == 0
    assert not Path("summary.md").exists()


def test_base_without_tables_is_no_failure(project_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first pull request of a project that shares its data."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    commit = ["git", *author, "commit", "--quiet", "--message", "empty"]
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"], ["git", "add", ".dvc"], commit):
        subprocess.run(command, check=True, env=environment)
    assert diff("HEAD", None, github=True) == 0
    assert capsys.readouterr().out.startswith("Nothing to compare with: HEAD (")
    assert Path("summary.md").read_text(encoding="utf-8").startswith("## Diff\n\nNothing to compare with: HEAD (")
