"""Text as every report prints it: numbers, foreign text, and tables."""

from collections.abc import Sequence

from tabulate import tabulate

COLUMN_ALIGNMENT = {"<": "left", ">": "right"}


def pluralize(number: int, one: str, many: str) -> str:
    """A number with its noun.

    >>> pluralize(1, "box", "boxes"), pluralize(21360, "box", "boxes")
    ('1 box', '21,360 boxes')
    """
    return f"{number:,} {one if number == 1 else many}"


def format_score(value: float | None, spec: str) -> str:
    """A score as text; None stands for a score of no boxes.

    >>> format_score(0.25, ".3f"), format_score(None, ".3f")
    ('0.250', 'no boxes')
    """
    return "no boxes" if value is None else format(value, spec)


def format_percent(fraction: float) -> str:
    """A fraction as a percentage of three significant digits.

    >>> format_percent(0.25), format_percent(0.000412), format_percent(0.0)
    ('25 %', '0.0412 %', '0 %')
    """
    return f"{100 * fraction:.3g} %"


def escape_control(text: str) -> str:
    r"""Escape foreign text, such as a file name, so that it stays on one line and contains no control sequence.

    A file name with a line break could otherwise fake a line of a report, and `##[` anywhere in a line is a command
    for GitHub's runner.

    >>> escape_control("café\n::error::x\x1b[31m ##[error]y")
    'café\\n::error::x\\x1b[31m #\\x23[error]y'
    """
    printable = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return printable.replace("##[", r"#\x23[")


def format_table(rows: Sequence[Sequence[str]], alignment: str, *, ruled: bool = False) -> list[str]:
    """Align rows as columns.

    Args:
        rows: cells of equally long rows; the headings come first.
        alignment: "<" for left or ">" for right, one per column.
        ruled: draw a line below the headings.

    Returns:
        The lines, without trailing spaces.

    >>> format_table([("box", "size", "note"), ("a", "12345", "a long one")], "<><", ruled=True)
    ['box      size  note', '-----  ------  ----------', 'a       12345  a long one']

    """
    options = {"disable_numparse": True, "colalign": [COLUMN_ALIGNMENT[side] for side in alignment]}
    if ruled:
        text = tabulate(rows[1:], headers=rows[0], tablefmt="simple", **options)
    else:
        text = tabulate(rows, tablefmt="plain", **options)
    return [line.rstrip() for line in text.splitlines()]
