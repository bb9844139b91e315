"""Griffe extension: doctests in docstrings become code blocks of the API pages.

The docstrings of this project have doctests without an "Examples" section; Markdown would join their lines.
"""

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Wraps each doctest of a docstring in a fenced code block."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object before it is parsed."""
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(r"\n```pycon\n\g<0>\n```\n", obj.docstring.value)
