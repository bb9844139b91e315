"""`boxline check` on small tables: its output, its annotations for GitHub, and the exit code."""

import contextlib
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.cli.check import annotations, check
from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.parquet import write_table
from pipeline.datasets.annotations import Reading
from pipeline.diff.revisions import FolderVersion
from tests.support.scenes import NO_ARCHIVES, box, files_of
from tests.support.tiny_project import PROJECT, tiny_params, write_params
from tests.support.validation_scene import BOXES, IMAGES, Row, checked, tables_of

NEGATIVE = box(2, 7, 5, (1, 2, -3, 4), split="val")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    write_params(tmp_path, tiny_params())
    return tmp_path


def build(dataset: str, boxes: list[Row] = BOXES, images: list[Row] = IMAGES, passed_over: Sequence[Row] = ()) -> None:
    """As if every file were of the size of IMAGES."""
    tables = tables_of(images, boxes)
    left_out = pa.Table.from_pylist(list(passed_over), schema.PASSED_OVER)
    Reading(tables, passed_over=left_out).write(Path("data", dataset, "tables"))
    folder = Path("data", dataset, "inspect")
    write_table(folder / "files.parquet", files_of(tables_of(IMAGES, boxes).images), schema.FILES)
    write_table(folder / "archives.parquet", NO_ARCHIVES, schema.ARCHIVES)


def test_verbose_lists_every_check_and_nothing_is_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build("coco")
    before = sorted(project.rglob("*"))
    assert check(["coco"], verbose=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "coco: 2 images, 4 boxes, 2 categories: passes with findings"
    assert lines[2].split() == ["check", "severity", "status", "rows", "example"]
    assert lines[4].split() == ["annotation_refused", "error", "passed", "0"]
    assert lines[5].split() == ["image_id_below_one", "error", "passed", "0"]
    by_name = {line.split()[0]: " ".join(line.split()) for line in lines if line}
    assert by_name["class_rare"] == "class_rare warning warned 2 cat has 1 box in train"
    assert by_name["drift_of_box_count"] == "drift_of_box_count warning not run needs --against REV"
    assert lines[-1] == "1 of 1 datasets pass. Warnings: 1."
    assert sorted(project.rglob("*")) == before


def test_what_was_passed_over_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    build("coco", passed_over=[{"kind": "files of no known kind", "count": 2, "examples": "'a\x1b.doc', 'b.doc'"}])
    assert check(["coco"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == (r"passed over files of no known kind: 2 ('a\x1b.doc', 'b.doc')")


def test_only_checks_with_findings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    build("coco")
    assert check(["coco"]) == 0
    lines = unpadded(capsys.readouterr().out)
    assert lines[0] == "coco: 2 images, 4 boxes, 2 categories: passes with findings"
    assert lines[4:] == ["class_rare warning warned 2 cat has 1 box in train", "", "1 of 1 datasets pass. Warnings: 1."]


def test_healthy_dataset_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = tiny_params()
    params["checks"]["class_rare"]["severity"] = "off"
    write_params(project, params)
    build("coco")
    assert check(["coco"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "coco: 2 images, 4 boxes, 2 categories: passes",
        "1 of 1 datasets pass. Warnings: 0.",
    ]


def test_quarantined_rows_are_listed_and_too_many_give_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    build("coco", [*BOXES, NEGATIVE])
    build("digits")
    assert check(["digits", "coco"]) == 1
    output = capsys.readouterr().out
    place = "boxes row 5, box 2 of 000000000007.jpg in val: width -3, height 4"
    assert f"box_size_not_positive error quarantined 1 {place}" in unpadded(output)
    reasons = f"(box_size_not_positive 1; first: {place})"
    assert f"\nFAILS: 1 of 7 rows (14.3 %) are in quarantine, the limit is 0.1 % {reasons}\n" in output
    assert output.endswith("\n1 of 2 datasets pass. Failing: coco. Warnings: 2.\n")


def test_all_datasets_are_checked_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    for dataset in ("digits", "coco", "rectangles", "snacks"):
        build(dataset)
    assert check([]) == 0
    assert capsys.readouterr().out.endswith("\n4 of 4 datasets pass. Warnings: 4.\n")


def test_missing_tables_are_reported_with_commands(capsys: pytest.CaptureFixture[str]) -> None:
    build("coco")
    with pytest.raises(BoxlineError) as raised:
        check(["digits", "coco", "snacks"])
    targets = "tables@digits inspect@digits tables@snacks inspect@snacks"
    assert str(raised.value) == (
        f"data/ has no tables of digits, snacks. Build them with `dvc repro {targets}`, or fetch those of this commit "
        f"with `dvc pull {targets}` if they were pushed."
    )
    assert capsys.readouterr().out == ""


def test_unknown_dataset_is_reported() -> None:
    with pytest.raises(BoxlineError, match="datasets has no entry 'cocoa'; known are digits, coco"):
        check(["cocoa"])


def test_dataset_given_as_revision_is_reported(project: Path) -> None:
    build("coco")
    with pytest.raises(BoxlineError) as raised:
        check([], against="coco")
    assert str(raised.value) == (
        "--against: received 'coco', which is a dataset, expected a Git revision: boxline check coco --against HEAD"
    )
    with pytest.raises(BoxlineError) as raised:
        check(["coco"], against="../tables")
    assert str(raised.value) == (
        "'../tables' is not a Git revision, since the current folder is not a DVC project. Run this from the "
        "project's root folder."
    )


def test_unreadable_revision_fails_drift_checks_of_severity_error(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build("coco")
    tables_of(IMAGES, BOXES).write(project / "before")
    (project / "before" / "boxes.parquet").unlink()
    earlier = FolderVersion("v1", {"coco": (project / "before", project)})
    monkeypatch.setattr("pipeline.cli.check.at_revision", lambda _: contextlib.nullcontext(earlier))
    reason = "coco of v1 has no boxes.parquet. `dvc repro validate@coco` creates it."
    assert check(["coco"], against="v1") == 0
    assert f"drift_of_box_count warning not run {reason}" in unpadded(capsys.readouterr().out)
    params = tiny_params()
    params["checks"]["drift_of_box_count"]["severity"] = "error"
    write_params(project, params)
    assert check(["coco"], against="v1") == 1
    lines = unpadded(capsys.readouterr().out)
    assert f"FAILS: drift_of_box_count found 1, first: {reason}" in lines
    assert f"drift_of_box_count error failed 1 {reason}" in lines
    assert f"drift_of_image_count warning not run {reason}" in lines
    earlier.datasets.clear()
    assert check(["coco"], against="v1") == 0
    assert "drift_of_box_count error not run v1 has no tables of coco" in unpadded(capsys.readouterr().out)


def unpadded(output: str) -> list[str]:
    return [" ".join(line.split()) for line in output.splitlines()]


def test_github_annotations_and_step_summary(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build("coco", [*BOXES, NEGATIVE])
    summary = project / "summary.md"
    summary.write_text("What a step before wrote.\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert check(["coco"], github=True) == 1
    commands = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::")]
    place = "boxes row 5, box 2 of 000000000007.jpg in val: width -3, height 4"
    assert commands == [
        "::error title=coco fails::1 of 7 rows (14.3 %25) are in quarantine, the limit is 0.1 %25 "
        f"(box_size_not_positive 1; first: {place})",
        f"::warning title=coco%3A box_size_not_positive::1 found. {place}",
        "::warning title=coco%3A class_rare::2 found. cat has 1 box in train",
    ]
    text = summary.read_text()
    assert text.startswith("What a step before wrote.\n## coco: fails\n")
    assert text.endswith("</details>\n\n")


def test_missing_step_summary_variable_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    build("coco")
    with caplog.at_level(logging.INFO):
        assert check(["coco"], github=True) == 0
    assert caplog.messages == ["GITHUB_STEP_SUMMARY is not set, so the report was not written to a file."]


@pytest.mark.parametrize(
    ("place", "fault"), [("nowhere/summary.md", "No such file or directory"), ("data", "Is a directory")]
)
def test_unwritable_step_summary_is_reported_after_the_conclusion(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: str, fault: str
) -> None:
    build("coco")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", place)
    with pytest.raises(BoxlineError) as raised:
        check(["coco"], github=True)
    assert str(raised.value) == (
        f"GITHUB_STEP_SUMMARY is {place}, which cannot be written to ({fault}). Expected the file that GitHub's runner "
        "created. Correct the variable, or unset it to do without the report."
    )
    assert capsys.readouterr().out.endswith("\n1 of 1 datasets pass. Warnings: 1.\n")


def test_file_name_cannot_fake_a_workflow_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Names come from archives, and a line that starts with :: is a command for GitHub's runner."""
    images = [IMAGES[0], IMAGES[1] | {"file_name": "a\n::stop-commands::x\r%0A.jpg", "width": 99}]
    build("coco", images=images)
    check(["coco"], github=True)
    output = capsys.readouterr().out
    commands = [line for line in output.splitlines() if line.startswith("::")]
    assert commands
    assert all(command.startswith(("::error title=coco", "::warning title=coco")) for command in commands)
    place = r"images row 2, image 3, a\n::stop-commands::x\r%250A.jpg in train: width 99, height 80, file_width 100"
    assert f"::warning title=coco%3A image_size_differs::1 found. {place}" in output
    assert place.replace("%25", "%") in output


def test_file_name_cannot_fake_a_legacy_workflow_command(capsys: pytest.CaptureFixture[str]) -> None:
    """GitHub's runner still executes ##[command] anywhere in a line."""
    build("coco", images=[IMAGES[0], IMAGES[1] | {"file_name": "###[stop-commands]x.jpg", "width": 99}])
    check(["coco"], github=True)
    output = capsys.readouterr().out
    assert "##[" not in output
    place = r"images row 2, image 3, ##\x23[stop-commands]x.jpg in train: width 99, height 80, file_width 100"
    assert f"::warning title=coco%3A image_size_differs::1 found. {place}" in output


def test_annotation_escapes_separators() -> None:
    validation = checked(categories=("50%,: a\nb", "50%,: A\nB"))
    [error, *_] = annotations({"coco": validation})
    assert error == (
        r"::error title=coco fails::category_name_duplicated found 1, first: '50%25,: a\nb' is the name of the "
        "categories 2, 5"
    )


def test_tenth_annotation_counts_the_rest() -> None:
    bad = [box(20 + number, 7, 5, (1, 2, -3, 4)) for number in range(3)]
    one = checked(boxes=[*BOXES, *bad])
    lines = annotations({f"number{number}": one for number in range(12)})
    assert len(lines) == 10
    assert lines[0].startswith("::warning title=number0%3A box_size_not_positive::3 found. boxes row 5, ")
    assert lines[-1] == "::warning title=and more::3 more warnings are in the summary of this job."


def test_check_imports_neither_tensorflow_nor_dvc() -> None:
    """The checks take half a second, those imports five."""
    build("coco")
    code = (
        "import sys\n"
        "from pipeline.cli.check import check\n"
        "code = check(['coco'])\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'matplotlib', 'dvc', 'scmrepo'}\n"
        "print(code, sorted(heavy & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(PROJECT), "PATH": ""}
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert result.stdout.splitlines()[-1] == "0 []"
