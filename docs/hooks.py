"""MkDocs hook: links from the pages to files of the repository that are not part of the site.

On GitHub such links work; the site has no copy of the files. They are checked and shown as plain file names.
"""

import logging
import os.path
import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
LINK = re.compile(r"(?<!!)\[(?P<text>[^]]+)\]\((?P<target>(?:\.\./)+[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")

logger = logging.getLogger("mkdocs.hooks.repository_links")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace links to files outside of docs/ by their text and path.

    Files that do not exist are reported as warnings, which fail a strict build.
    """
    folder = (REPOSITORY / "docs" / page.file.src_uri).parent

    def replace(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / match["target"]))
        if path.is_relative_to(REPOSITORY / "docs"):
            return match[0]
        if not path.exists():
            logger.warning("%s: the link target %s does not exist", page.file.src_uri, match["target"])
        name = path.relative_to(REPOSITORY).as_posix()
        return f"`{name}`" if match["text"].strip("`") == name else f"{match['text']} (`{name}`)"

    return LINK.sub(replace, markdown)
