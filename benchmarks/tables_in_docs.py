"""Tables that benchmarks write into pages of docs/, between two comments that name them."""

import re
from collections.abc import Sequence
from pathlib import Path


def replace_table(page: Path, name: str, rows: Sequence[Sequence[str]]) -> None:
    """Put `rows`, the first of which is the head, between `<!-- name -->` and `<!-- end of name -->`."""
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
