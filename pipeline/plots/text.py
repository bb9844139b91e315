"""Foreign text in figures: names of classes and files."""

from functools import lru_cache

from matplotlib.font_manager import FontProperties, findfont, get_font

MAX_TITLE_LENGTH = 40
"""Characters that fit above a tile."""


def drawable(text: str) -> str:
    r"""Escape the characters that the font lacks, line breaks included: they would be drawn as empty boxes, if at all.

    >>> drawable("Köln \u732b.jpg")
    'Köln \\u732b.jpg'
    """
    return "".join(char if _has_glyph(char) else char.encode("unicode_escape").decode() for char in text)


def title_of(file_name: str) -> str:
    """The end of a file name that is too long for a title: names often differ at their ends.

    >>> title_of("a/" + 40 * "b" + "1.jpg")
    '…bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb1.jpg'
    """
    text = drawable(file_name)
    return text if len(text) <= MAX_TITLE_LENGTH else "…" + text[1 - MAX_TITLE_LENGTH :]


@lru_cache
def _has_glyph(char: str) -> bool:
    return char.isprintable() and get_font(findfont(FontProperties())).get_char_index(ord(char)) != 0
