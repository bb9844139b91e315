"""boxline diff: what changed in the data between two revisions, or two folders of tables."""

import contextlib
import sys
from pathlib import Path
from typing import Any

from pipeline.cli.github import append_step_summary, workflow_command
from pipeline.cli.paths import require_writable_path
from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.formatting import pluralize
from pipeline.diff.difference import Snapshot, compare
from pipeline.diff.html_report import section, write_diff_page
from pipeline.diff.leaks import find_new_leaks
from pipeline.diff.markdown_summary import MAX_LEAKS, dataset_markdown, format_leak, oracle_markdown
from pipeline.diff.previews import MAX_PREVIEWS, image_change_kinds, make_previews, select_images
from pipeline.diff.revisions import DatasetVersion, NoTablesError, open_revision, working_tree
from pipeline.diff.text_summary import format_summary
from pipeline.diff.thumbnails import ThumbnailReader
from pipeline.html.page_template import require_replaceable
from pipeline.validation.config import parse_checks
from pipeline.validation.image_checks import ImageSimilarAcrossSplits
from pipeline.validation.markdown_report import escape_markdown


def diff(
    before: str,
    after: str | None = None,
    /,
    *,
    dataset: list[str] | None = None,
    out: Path = Path("diff.html"),
    github: bool = False,
) -> int:
    """Show which images, boxes and classes were added, removed or changed between two versions of the data.

    Prints counts, and writes a page with images. The tables in `data/<dataset>/validate` are compared, which training
    uses. The exit code is 0 with and without differences; with --github it is 1 if there is a new leak.

    Args:
        before: a Git revision (HEAD, a branch, a tag, a commit), or a folder with images.parquet, boxes.parquet and
            categories.parquet.
        after: the other revision or folder; the working tree if omitted.
        dataset: compare only these datasets; all if omitted.
        out: page to write.
        github: fail if splits share images, equal or almost equal, that they did not share before, and append counts,
            leaks and the change of the targets' upper bound to the file in GITHUB_STEP_SUMMARY.

    """
    require_writable_path(out, "--out")
    require_replaceable(out)
    with contextlib.ExitStack() as stack:
        try:
            one = stack.enter_context(open_revision(before))
        except NoTablesError as error:
            if not github:
                raise
            append_step_summary([f"## Diff\n\nNothing to compare with: {escape_markdown(error)}\n"])
            _print(f"Nothing to compare with: {error}")
            return 0
        other = working_tree() if after is None else stack.enter_context(open_revision(after))
        pairs, remarks = paired_datasets(one, other, dataset or [])
        _print(f"{one.name} -> {other.name}", *remarks)
        sections, summaries, num_leaks = [], [], 0
        for name_before, name_after in pairs:
            difference = compare(Snapshot.read(one, name_before), Snapshot.read(other, name_after))
            summary = f"{name_after}: no differences" if difference.is_empty else format_summary(difference)
            _print("", summary if difference.is_empty else f"{name_after}\n{summary}")
            indices = select_images(image_change_kinds(difference), MAX_PREVIEWS)
            thumbnails = ThumbnailReader(one, name_before), ThumbnailReader(other, name_after)
            sections.append(section(name_after, difference, list(make_previews(difference, indices, *thumbnails))))
            if github:
                leaks = find_new_leaks(difference, other, name_after, _similarity_check(name_after))
                summaries.append(dataset_markdown(name_after, difference, leaks))
                num_leaks += len(leaks)
                titles = [("error", f"New leak in {name_after}", format_leak(leak)) for leak in leaks[:MAX_LEAKS]]
                sys.stdout.writelines(workflow_command(*title) + "\n" for title in titles)
        write_diff_page(out, one.name, other.name, sections, remarks)
        if github:
            summaries.append(oracle_markdown(_targets_reports(one), _targets_reports(other)))
    _print("", f"Page: {out}")
    if github:
        append_step_summary(summaries)
    if num_leaks:
        _print(f"FAILS: {pluralize(num_leaks, 'new leak', 'new leaks')} between splits.")
    return 1 if num_leaks else 0


def _similarity_check(dataset: str) -> ImageSimilarAcrossSplits:
    _, checks = parse_checks(load_params(), dataset)
    return checks.image_similar_across_splits


def _targets_reports(version: DatasetVersion) -> dict[str, dict[str, Any]]:
    reports = {system: version.targets_report(system) for system in load_params().systems}
    return {system: report for system, report in reports.items() if report is not None}


def paired_datasets(
    before: DatasetVersion, after: DatasetVersion, names: list[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Pair the datasets of two versions.

    Datasets of the project are paired by name; a folder of tables is paired with the dataset of its name or with the
    only one.

    Args:
        before: one version.
        after: the other version.
        names: datasets to compare; all if empty.

    Returns:
        Pairs of names, and remarks about datasets that only one version has.

    Raises:
        BoxlineError: if a name is unknown or nothing can be compared.

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
            f"{before.name} has {join_items(before.datasets)}, {after.name} has {join_items(after.datasets)}: "
            "no dataset is in both. `dvc repro` builds what is missing."
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
            f"{folder.name} is one dataset, {project.name} has {join_items(candidates)}. "
            f"Name the one to compare it with: --dataset {candidates[0]}"
        )
    return (own, candidates[0]) if before.is_folder else (candidates[0], own)


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
