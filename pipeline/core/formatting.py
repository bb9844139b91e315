"""Numbers, strangers' texts and columns as all reports write them."""

from collections.abc import Sequence


def pluralize(number: int, one: str, many: str) -> str:
    """A number with its noun.

    >>> counted(1, "box", "boxes"), counted(21360, "box", "boxes")
    ('1 box', '21,360 boxes')
    """
    return f"{number:,} {one if number == 1 else many}"


def format_percent(share: float) -> str:
    """A share as people read it, to three digits.

    >>> percent(0.25), percent(0.000412), percent(0.0)
    ('25 %', '0.0412 %', '0 %')
    """
    return f"{100 * share:.3g} %"


def escape_control(text: str) -> str:
    r"""Text on one line: what a file is called must not begin a new one, which could pass for a line of ours.

    Nor does it hold the two signs and the bracket that are an order to GitHub's runner anywhere in a line.
    >>> printable("café\n::error::x\x1b[31m ##[error]y")
    'café\\n::error::x\\x1b[31m #\\x23[error]y'
    """
    plain = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    return plain.replace("##[", r"#\x23[")


def format_table(rows: Sequence[Sequence[str]], sides: str, *, ruled: bool = False) -> list[str]:
    """Rows as columns, "<" at the left and ">" at the right.

    ruled: with a line under the headings, which are the first row. What is in the last column may be long, and the
    line there is as long as its heading.
    >>> aligned([("box", "size", "note"), ("a", "12345", "a long one")], "<><", ruled=True)
    ['box   size  note', '---  -----  ----', 'a    12345  a long one']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
        for row in rows
    ]
    rule = "  ".join("-" * width for width in (*widths[:-1], len(rows[0][-1])))
    return [lines[0], rule, *lines[1:]] if ruled else lines
