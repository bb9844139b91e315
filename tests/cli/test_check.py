"""`boxline check` on small tables: what it prints, what it tells GitHub, and the exit code."""

import contextlib
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.check import annotations, check
from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.parquet import write_table
from pipeline.diff.revisions import Folders
from tests.support.scenes import box, files_of
from tests.support.tiny_project import PROJECT, tiny_params, write_params
from tests.support.validation_scene import BOXES, IMAGES, Row, checked, tables_of

NEGATIVE = box(2, 7, 5, (1, 2, -3, 4))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    write_params(tmp_path, tiny_params())
    return tmp_path


def build(dataset: str, boxes: list[Row] = BOXES, images: list[Row] = IMAGES) -> None:
    """As if every file were of the size of IMAGES."""
    tables = tables_of(images, boxes)
    tables.write(Path("data", dataset, "tables"))
    write_table(
        Path("data", dataset, "inspect", "files.parquet"), files_of(tables_of(IMAGES, boxes).images), schema.FILES
    )


def test_it_prints_a_line_per_check_and_a_verdict_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build("coco")
    before = sorted(project.rglob("*"))
    assert check(["coco"], against=None, github=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "coco: 2 images, 4 boxes, 2 categories"
    assert lines[2].split() == ["check", "severity", "status", "rows", "example"]
    assert lines[4].split() == ["image_id_below_one", "error", "passed", "0"]
    by_name = {line.split()[0]: " ".join(line.split()) for line in lines if line}
    assert by_name["class_rare"] == "class_rare warning warned 2 cat has 1 box in train"
    assert by_name["drift_of_box_count"] == "drift_of_box_count warning not run not asked for: --against REV"
    assert lines[-1] == "1 of 1 datasets pass. Warnings: 1."
    assert sorted(project.rglob("*")) == before


def test_bad_rows_are_told_and_end_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    build("coco", [*BOXES, NEGATIVE])
    build("digits")
    assert check(["digits", "coco"], against=None, github=False) == 1
    output = capsys.readouterr().out
    place = "boxes row 5, box 2 of 000000000007.jpg: width -3, height 4"
    assert f"box_size_not_positive           error     quarantined  1     {place}\n" in output
    reasons = f"(box_size_not_positive 1; first: {place})"
    assert f"\nFAILS: 1 of 7 rows (14.3 %) are in quarantine, allowed are 0.1 % {reasons}\n" in output
    assert output.endswith("\n1 of 2 datasets pass. Failing: coco. Warnings: 2.\n")


def test_every_dataset_of_params_yaml_is_checked_if_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for dataset in ("digits", "coco", "rectangles", "snacks"):
        build(dataset)
    assert check([], against=None, github=False) == 0
    assert capsys.readouterr().out.endswith("\n4 of 4 datasets pass. Warnings: 4.\n")


def test_without_tables_it_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    build("coco")
    with pytest.raises(BoxlineError) as raised:
        check(["digits", "coco", "snacks"], against=None, github=False)
    targets = "tables@digits inspect@digits tables@snacks inspect@snacks"
    assert str(raised.value) == (
        f"data/ has no tables of digits, snacks. `dvc repro {targets}` makes them; `dvc pull {targets}` fetches those "
        "of this commit, once `dvc push` has stored them."
    )
    assert capsys.readouterr().out == ""


def test_an_unknown_dataset_is_named() -> None:
    with pytest.raises(BoxlineError, match="datasets has no entry 'cocoa'; known are digits, coco"):
        check(["cocoa"], against=None, github=False)


def test_a_dataset_that_passes_for_a_revision_is_told_its_place(project: Path) -> None:
    """`--against` takes the word behind it, where one is, and all datasets are asked for then."""
    build("coco")
    with pytest.raises(BoxlineError) as raised:
        check([], against="coco", github=False)
    assert str(raised.value) == (
        "'coco' is no Git revision but a dataset. Name datasets before the revision: boxline check coco --against"
    )
    with pytest.raises(BoxlineError) as raised:
        check(["coco"], against="../tables", github=False)
    assert str(raised.value) == (
        "'../tables' is no Git revision, since the current folder is no DVC project. Run this from the project's root "
        "folder."
    )


def test_drift_that_cannot_be_told_fails_where_it_is_an_error(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build("coco")
    tables_of(IMAGES, BOXES).write(project / "before")
    (project / "before" / "boxes.parquet").unlink()
    earlier = Folders("v1", {"coco": (project / "before", project)})
    monkeypatch.setattr("pipeline.cli.check.at_revision", lambda _: contextlib.nullcontext(earlier))
    reason = "coco of v1 has no boxes.parquet. `dvc repro validate@coco` makes it."
    assert check(["coco"], against="v1", github=False) == 0
    assert f"drift_of_box_count warning not run {reason}" in unpadded(capsys.readouterr().out)
    params = tiny_params()
    params["checks"]["drift_of_box_count"]["severity"] = "error"
    write_params(project, params)
    assert check(["coco"], against="v1", github=False) == 1
    lines = unpadded(capsys.readouterr().out)
    assert f"FAILS: drift_of_box_count found 1, first: {reason}" in lines
    assert f"drift_of_box_count error failed 1 {reason}" in lines
    assert f"drift_of_image_count warning not run {reason}" in lines
    earlier.datasets.clear()
    assert check(["coco"], against="v1", github=False) == 0
    assert "drift_of_box_count error not run v1 has no tables of coco" in unpadded(capsys.readouterr().out)


def unpadded(output: str) -> list[str]:
    return [" ".join(line.split()) for line in output.splitlines()]


def test_github_gets_annotations_and_the_summary(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build("coco", [*BOXES, NEGATIVE])
    summary = project / "summary.md"
    summary.write_text("What a step before wrote.\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert check(["coco"], against=None, github=True) == 1
    commands = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::")]
    place = "boxes row 5, box 2 of 000000000007.jpg: width -3, height 4"
    assert commands == [
        "::error title=coco fails::1 of 7 rows (14.3 %25) are in quarantine, allowed are 0.1 %25 "
        f"(box_size_not_positive 1; first: {place})",
        f"::warning title=coco%3A box_size_not_positive::1 found. {place}",
        "::warning title=coco%3A class_rare::2 found. cat has 1 box in train",
    ]
    text = summary.read_text()
    assert text.startswith("What a step before wrote.\n## coco: fails\n")
    assert text.endswith("</details>\n\n")


def test_without_a_summary_to_write_to_it_says_so(caplog: pytest.LogCaptureFixture) -> None:
    build("coco")
    with caplog.at_level(logging.INFO):
        assert check(["coco"], against=None, github=True) == 0
    assert caplog.messages == ["GITHUB_STEP_SUMMARY is not set, so the report was written nowhere."]


@pytest.mark.parametrize(
    ("place", "fault"), [("nowhere/summary.md", "No such file or directory"), ("data", "Is a directory")]
)
def test_a_summary_that_cannot_be_written_is_named_after_the_verdict(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: str, fault: str
) -> None:
    build("coco")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", place)
    with pytest.raises(BoxlineError) as raised:
        check(["coco"], against=None, github=True)
    assert str(raised.value) == (
        f"GITHUB_STEP_SUMMARY is {place}, which cannot be written to ({fault}). Expected the file that GitHub's runner "
        "has made. Correct the variable, or unset it to do without the report."
    )
    assert capsys.readouterr().out.endswith("\n1 of 1 datasets pass. Warnings: 1.\n")


def test_nothing_in_a_file_name_passes_for_a_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """Names come from archives, and a line that starts with :: is an order to GitHub's runner."""
    images = [IMAGES[0], IMAGES[1] | {"file_name": "a\n::stop-commands::x\r%0A.jpg", "width": 99}]
    build("coco", images=images)
    check(["coco"], against=None, github=True)
    output = capsys.readouterr().out
    orders = [line for line in output.splitlines() if line.startswith("::")]
    assert orders
    assert all(order.startswith(("::error title=coco", "::warning title=coco")) for order in orders)
    place = r"images row 2, image 3, a\n::stop-commands::x\r%250A.jpg: width 99, height 80, file_width 100"
    assert f"::warning title=coco%3A image_size_differs::1 found. {place}" in output
    assert place.replace("%25", "%") in output


def test_nothing_in_a_file_name_passes_for_an_order_of_the_old_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """GitHub's runner still obeys ##[command], and looks for it anywhere in a line."""
    build("coco", images=[IMAGES[0], IMAGES[1] | {"file_name": "###[stop-commands]x.jpg", "width": 99}])
    check(["coco"], against=None, github=True)
    output = capsys.readouterr().out
    assert "##[" not in output
    place = r"images row 2, image 3, ##\x23[stop-commands]x.jpg: width 99, height 80, file_width 100"
    assert f"::warning title=coco%3A image_size_differs::1 found. {place}" in output


def test_what_would_end_an_annotation_is_escaped() -> None:
    validation = checked(categories=("50%,: a\nb", "50%,: A\nB"))
    [error, *_] = annotations({"coco": validation})
    assert error == (
        r"::error title=coco fails::category_name_duplicated found 1, first: '50%25,: a\nb' is the name of the "
        "categories 2, 5"
    )


def test_github_shows_ten_of_a_kind_so_the_tenth_counts_the_rest() -> None:
    bad = [box(20 + number, 7, 5, (1, 2, -3, 4)) for number in range(3)]
    one = checked(boxes=[*BOXES, *bad])
    lines = annotations({f"number{number}": one for number in range(12)})
    assert len(lines) == 10
    assert lines[0].startswith("::warning title=number0%3A box_size_not_positive::3 found. boxes row 5, ")
    assert lines[-1] == "::warning title=and more::3 more warnings are in the summary of this job."


def test_it_starts_without_tensorflow_and_without_dvc() -> None:
    """For half a second of checks nobody should wait for five seconds of imports."""
    build("coco")
    code = (
        "import sys\n"
        "from pipeline.cli.check import check\n"
        "code = check(['coco'], None, False)\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'matplotlib', 'dvc', 'scmrepo'}\n"
        "print(code, sorted(heavy & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(PROJECT), "PATH": ""}
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert result.stdout.splitlines()[-1] == "0 []"
