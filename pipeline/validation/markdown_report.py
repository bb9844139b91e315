"""What the checks found, for pull requests: short, in Markdown as GitHub reads it."""

import html
import re

from pipeline.core.formatting import format_percent, pluralize
from pipeline.validation.outcome import Outcome
from pipeline.validation.run import Validation

QUIET = ("passed", "off", "not run")


def as_markdown(dataset: str, validation: Validation) -> str:
    """Verdict, counts, what was found, and the other checks folded away."""
    failures = validation.failures()
    loud = [outcome for outcome in validation.outcomes if outcome.status not in QUIET]
    quiet = [outcome for outcome in validation.outcomes if outcome.status in QUIET]
    lines = [f"## {escaped(dataset)}: {'fails' if failures else 'passes'}", ""]
    lines += [f"- **{escaped(failure)}**" for failure in failures]
    lines += [
        "",
        f"{validation.overview.counts()}; {pluralize(validation.quarantine.num_rows, 'row', 'rows')} in quarantine "
        f"({format_percent(validation.quarantined_fraction)}, allowed are {format_percent(validation.max_quarantined_fraction)}).",
        "",
    ]
    if loud:
        lines += _table(("check", "severity", "status", "found", "first"), [_loud(outcome) for outcome in loud])
    counts = ", ".join(
        f"{number} {status}"
        for status in QUIET
        if (number := sum(outcome.status == status for outcome in validation.outcomes))
    )
    lines += [f"<details><summary>{counts}</summary>", ""]
    lines += _table(("check", "severity", "status", "thresholds", "measured"), [_quiet(outcome) for outcome in quiet])
    return "\n".join([*lines, "</details>", ""])


def escaped(text: str) -> str:
    r"""Text that stays text, in a table too, whatever a file is called.

    >>> escaped("a|b\n<c> *d*")
    'a\\|b &lt;c&gt; \\*d\\*'
    """
    words = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"[\\`*\[\]|~]|\b_|_\b", r"\\\g<0>", words)


def thresholds_text(outcome: Outcome) -> str:
    """`name value` of each threshold."""
    return ", ".join(f"{name} {value:g}" for name, value in outcome.thresholds.items())


def _loud(outcome: Outcome) -> tuple[str, ...]:
    return outcome.name, outcome.severity, outcome.status, f"{outcome.count:,}", outcome.examples[0]


def _quiet(outcome: Outcome) -> tuple[str, ...]:
    return outcome.name, outcome.severity, outcome.status, thresholds_text(outcome), outcome.measured


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    labeled_boxes = tuple("---" for _ in header)
    cells = [tuple(map(escaped, row)) for row in rows]
    return [*(f"| {' | '.join(row)} |" for row in (header, labeled_boxes, *cells)), ""]
