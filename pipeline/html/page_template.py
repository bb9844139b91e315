"""Renders self-contained HTML pages: a browser opens them from disk and requests nothing from any server."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from pipeline.core.atomic_files import atomic_write
from pipeline.core.errors import BoxlineError

TEMPLATE_ROOT = Path(__file__).parents[1]
"""Names of templates are paths below this folder."""

GENERATOR_TAG = b'<meta name="generator" content="Boxline">'
"""Marks the files that this module has written; page_template.html has it near the top."""


def write_html_page(path: Path, template: Path, title: str, data: Mapping[str, Any]) -> None:
    """Write a page atomically. The same arguments give the same bytes.

    Args:
        path: the HTML file to write.
        template: a template inside `pipeline` that extends html/page_template.html.
        title: the title of the document; plain text.
        data: the constant `data` of the page's script, converted to JSON. Strings may hold any characters. The page
            holds all of it, so the caller limits the number of rows and images.

    Raises:
        ValueError: if a number in `data` is NaN or infinite.

    """
    page = _environment().get_template(template.relative_to(TEMPLATE_ROOT).as_posix())
    text = page.render(title=title, data=data)
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def require_replaceable(path: Path) -> None:
    """Raise BoxlineError if `path` is a file that `write_html_page` has not written."""
    try:
        with path.open("rb") as file:
            is_page = GENERATOR_TAG in file.read(2000)
    except FileNotFoundError:
        return
    if not is_page:
        raise BoxlineError(f"{path} exists and is not a page of Boxline. Choose another path for --out.")


def data_url(content: bytes, image_format: str) -> str:
    """An image file as a `data:` URL.

    Args:
        content: the bytes of the file.
        image_format: subtype of the media type: jpeg, png, ...

    """
    return f"data:image/{image_format};base64," + base64.b64encode(content).decode()


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE_ROOT),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["sha256_base64"] = _sha256_base64
    # The filter `tojson` escapes <, >, & and ', so that no text ends the script element.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _sha256_base64(text: str) -> str:
    """The digest by which a content security policy permits an inline script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
