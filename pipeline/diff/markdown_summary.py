"""Summary of a diff in GitHub's Markdown, for the page of a pull request."""

from collections.abc import Sequence
from typing import Any

from pipeline.core.errors import join_items
from pipeline.diff.difference import Difference
from pipeline.diff.leaks import NewLeak
from pipeline.diff.text_summary import MAX_COUNTS, changed_counts, notes, printable_name, totals
from pipeline.validation.markdown_report import escape_markdown

MAX_LEAKS = 20


def format_leak(leak: NewLeak) -> str:
    """Return both places and the similarity, such as "train/1.jpg = val/2.jpg"."""
    sign = " = " if leak.similarity == 1 else f" is almost (similarity {leak.similarity:.3f}) "
    return sign.join(f"{split}/{printable_name(name)}" for split, name in leak.locations)


def dataset_markdown(name: str, difference: Difference, leaks: Sequence[NewLeak]) -> str:
    """Return the section of a dataset: new leaks, totals, notes and changed counts."""
    lines = [f"## Diff of {escape_markdown(name)}: {'new leaks' if leaks else 'no new leaks'}", ""]
    lines += [f"- **{escape_markdown(format_leak(leak))}**" for leak in leaks[:MAX_LEAKS]]
    if len(leaks) > MAX_LEAKS:
        lines.append(f"- and {len(leaks) - MAX_LEAKS} more")
    if difference.is_empty:
        return "\n".join([*lines, "", "No differences.", ""])
    rows = [
        (total.name, f"{total.before:,}", f"{total.after:,}", total.added, total.removed, total.changed)
        for total in totals(difference)
    ]
    lines += ["", *_table(("table", "before", "after", "added", "removed", "changed"), rows), ""]
    lines += [f"- {escape_markdown(note)}" for note in notes(difference)]
    counts = changed_counts(difference)
    if counts:
        cells = [
            (printable_name(count.name), count.split, count.before, count.after, f"{count.after - count.before:+,}")
            for count in counts[:MAX_COUNTS]
        ]
        lines += ["", *_table(("class", "split", "before", "after", "difference"), cells)]
    if len(counts) > MAX_COUNTS:
        lines += ["", f"and {len(counts) - MAX_COUNTS} more"]
    return "\n".join([*lines, ""])


def oracle_markdown(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> str:
    """Return the change of the oracle score of each system: the score that its targets allow at most.

    Args:
        before: the content of reports/<system>/targets.json by system.
        after: likewise; systems without a report in both versions are named.

    """
    systems = list(dict.fromkeys([*before, *after]))
    both = [system for system in systems if system in before and system in after]
    rows = [
        (system, key, f"{before[system][key]:.4f}", f"{value:.4f}", f"{value - before[system][key]:+.4f}")
        for system in both
        for key, value in after[system].items()
        if key.startswith("oracle_") and key in before[system]
    ]
    lines = ["## Upper bound of the targets", ""]
    if rows:
        lines += _table(("system", "score", "before", "after", "difference"), rows)
    alone = [system for system in systems if system not in both]
    if alone:
        lines += ["", f"Only one version has targets of {escape_markdown(join_items(alone))}."]
    return "\n".join([*lines, ""]) if systems else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    cells = [["" if value is None else escape_markdown(value) for value in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *cells)]
