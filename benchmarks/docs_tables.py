"""Generated tables in pages of docs/, each between two comments with its name."""

import re
from collections.abc import Sequence
from pathlib import Path


def replace_table(page: Path, name: str, rows: Sequence[Sequence[str]]) -> None:
    """Replace the text between `<!-- name -->` and `<!-- end of name -->` by a table; the first row is its header."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in rows)
    ruler = "|" + "---|" * len(rows[0])
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text, found = re.subn(
        f"{begin}.*?{end}",
        lambda _: "\n".join([begin, head, ruler, *body, end]),
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if not found:
        raise RuntimeError(f"{page} lacks {begin} and {end}")
    page.write_text(text, encoding="utf-8")
