"""boxline diff: what changed in the data between two revisions, or two folders of tables."""

import argparse
import contextlib
import sys
from pathlib import Path

from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.exit_codes import require_writable_path
from pipeline.diff.difference import Side, compare
from pipeline.diff.html_report import section, write_diff_page
from pipeline.diff.previews import NUM_PICTURES, choose, draw, kinds_of_images
from pipeline.diff.revisions import DatasetVersion, open_revision, working_tree
from pipeline.diff.summary import summary
from pipeline.diff.thumbnails import Pixels
from pipeline.html.page_template import require_replaceable

HELP = "show what changed in the data between two revisions"
DESCRIPTION = (
    "Show which images, boxes and classes came, went and changed between two versions of the data, in short here and "
    "with pictures on a page. The tables compared are data/<dataset>/validate: what training sees. The exit code is 0 "
    "whether or not there are differences."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that `diff` takes."""
    parser.usage = "boxline diff REV [REV] [--dataset NAME ...] [--out PAGE]"  # argparse would put the options first
    parser.add_argument(
        "before",
        metavar="REV",
        help="a Git revision (HEAD, a branch, a tag, a commit), or a folder with images.parquet, boxes.parquet and "
        "categories.parquet",
    )
    parser.add_argument("after", metavar="REV", nargs="?", help="the other one (default: the working tree)")
    parser.add_argument("--dataset", metavar="NAME", nargs="+", default=[], help="compare these alone (default: all)")
    parser.add_argument(
        "--out", metavar="PAGE", type=Path, default=Path("diff.html"), help="page to write (default: diff.html)"
    )


def diff(before: str, after: str | None, dataset: list[str], out: Path) -> int:
    """Print what changed and write the page; return the exit code."""
    require_writable_path(out, "--out")
    require_replaceable(out)
    with contextlib.ExitStack() as opened:
        one = opened.enter_context(open_revision(before))
        other = working_tree() if after is None else opened.enter_context(open_revision(after))
        pairs, remarks = paired_datasets(one, other, dataset)
        _say(f"{one.name} -> {other.name}", *remarks)
        sections = []
        for name_before, name_after in pairs:
            difference = compare(Side.read(one, name_before), Side.read(other, name_after))
            _say("", f"{name_after}: no differences" if difference.is_empty else f"{name_after}\n{summary(difference)}")
            places = choose(kinds_of_images(difference), NUM_PICTURES)
            pictures = draw(difference, places, Pixels(one, name_before), Pixels(other, name_after))
            sections.append(section(name_after, difference, list(pictures)))
        write_diff_page(out, one.name, other.name, sections, remarks)
    _say("", f"Page: {out}")
    return 0


def paired_datasets(
    before: DatasetVersion, after: DatasetVersion, names: list[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Which dataset is compared with which, and remarks about those that one version alone has.

    Datasets of the project are compared by name, a folder of tables with that of its name or with the only one.
    Raises BoxlineError where a name is not known or nothing can be compared.
    """
    for version in (before, after):
        unknown = [name for name in names if not version.is_folder and name not in version.datasets]
        if unknown:
            raise BoxlineError(
                f"{version.name} has no dataset {join_items(unknown)}; it has {join_items(version.datasets)}. "
                "Correct --dataset, or leave it out."
            )
    if before.is_folder or after.is_folder:
        return [_paired_with_folder(before, after, names)], []
    common = [name for name in before.datasets if name in after.datasets]
    if not common:
        raise BoxlineError(
            f"{before.name} has {join_items(before.datasets)}, {after.name} has {join_items(after.datasets)}: no dataset is in "
            "both. `dvc repro` builds what is missing."
        )
    sides = ((before, after), (after, before))
    alone = [f"{name} is only in {one.name}." for one, other in sides for name in one.datasets if name not in common]
    return [(name, name) for name in names or common], [] if names else alone


def _paired_with_folder(before: DatasetVersion, after: DatasetVersion, names: list[str]) -> tuple[str, str]:
    if before.is_folder and after.is_folder:
        if names:
            raise BoxlineError(
                "A folder of tables is one dataset and has no name to choose it by. Leave out --dataset."
            )
        return before.datasets[0], after.datasets[0]
    folder, project = (before, after) if before.is_folder else (after, before)
    [own] = folder.datasets
    candidates = names or ([own] if own in project.datasets else project.datasets)
    if len(candidates) > 1:
        raise BoxlineError(
            f"{folder.name} is one dataset, {project.name} has {join_items(candidates)}. Name the one to compare it with: "
            f"--dataset {candidates[0]}"
        )
    return (own, candidates[0]) if before.is_folder else (candidates[0], own)


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
