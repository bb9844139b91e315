"""HTML files with everything in them: opened straight from disk, they ask no server for anything."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from pipeline.core.atomic_files import atomic_write
from pipeline.core.errors import BoxlineError

SKELETON = Path(__file__).with_name("document.html")
"""What the pages share: the permission that they give, colours, controls, pictures with boxes."""

MARK = b'<meta name="generator" content="Boxline">'


def write_document(path: Path, content: Path, title: str, data: dict[str, Any]) -> None:
    """Write the page, whole or not at all; the same arguments give the same bytes.

    `content` is an HTML file of three parts, a style, what stands in the body, and a script, to which the shared script
    gives `data`. Nothing in `title` and `data` is ever taken for markup. Raises ValueError for a number that is none.
    """
    parts = re.fullmatch(r"<style>\n(.*)</style>\n(.*)<script>\n(.*)</script>\n", _text(content), re.DOTALL)
    assert parts is not None, "style, body and script"
    page = _filled(_text(SKELETON), dict(zip(("style", "body", "script"), parts.groups(), strict=True)))
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None, "the page has one script"
    values = {
        "title": html.escape(title),
        # Only this script may run, whatever stands in a name: its digest is the page's one permission for scripts.
        "script-digest": base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode(),
        "data": _inside_script(data),
    }
    with atomic_write(path) as partial:
        partial.write_text(_filled(page, values), encoding="utf-8", newline="\n")


def require_replaceable(path: Path) -> None:
    """Raise BoxlineError where `path` is something that `write_document` did not write."""
    try:
        with path.open("rb") as file:
            is_page = MARK in file.read(2000)
    except FileNotFoundError:
        return
    if not is_page:
        raise BoxlineError(f"{path} exists and is no page of Boxline. Give another name to --out.")


def data_address(content: bytes, kind: str) -> str:
    """An image file as a `data:` address. kind: jpeg, png, ..."""
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _filled(template: str, parts: dict[str, str]) -> str:
    """With the parts that are given in the place of {{name}}; what stands in a part stays as it is."""
    return re.sub(r"\{\{([a-z-]+)\}\}", lambda place: parts.get(place[1], place[0]), template)


def _inside_script(data: dict[str, Any]) -> str:
    """JSON that no HTML parser takes for markup: `<`, `>` and `&` occur in strings only and are written as escapes."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
