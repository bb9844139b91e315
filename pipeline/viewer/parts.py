"""What pages share: their look, their placeholders, and pictures inside them."""

import base64
import html
import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STYLE = Path(__file__).with_name("style.css")


def fill(template: str, title: str, parts: Mapping[str, str]) -> str:
    """`template` with its placeholders {{name}} replaced: `title` as text, the common style, and `parts` as they are.

    What is filled in is not searched for placeholders.
    """
    known = {"title": html.escape(title), "style": STYLE.read_text(encoding="utf-8"), **parts}
    return re.sub(r"\{\{([a-z-]+)\}\}", lambda place: known[place[1]], template)


def png_address(square: NDArray[np.uint8]) -> str:
    """uint8 [size, size, 1 or 3] as a `data:` address, lossless."""
    buffer = io.BytesIO()
    Image.fromarray(square[..., 0] if square.shape[-1] == 1 else square).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
