"""Image files decoded: bounded, strict with damage, eight bits per channel."""

import contextlib
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.core.errors import BoxlineError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Of all that Pillow opens: pictures of pixels, none that starts another program to draw itself."""


@contextlib.contextmanager
def open_image(content: bytes, name: str, advice: str) -> Iterator[Image.Image]:
    """The image in those bytes. Its header is read, its pixels only when the block asks for them.

    So a small file that claims a huge image costs nothing. Raises BoxlineError where header or pixels cannot be read;
    the sentence begins with `name` and ends with `advice`.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            yield image
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,  # an error where a caller has made it one
    ) as error:
        known = not isinstance(error, UnidentifiedImageError)
        reason = str(error).partition(", could be decompression bomb")[0] if known else "no known image format"
        raise BoxlineError(f"{name} does not decode ({reason}). {advice}") from None


def to_uint8(image: Image.Image) -> Image.Image:
    """The same image; 16-bit grey scaled to 8 bits. Pillow would clip it at 255.

    Raises ValueError for numbers of 32 bits, whole or not: nobody says which of them is white.
    """
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no range; save it with 8 or 16 bits")
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.float32) / 257).round().astype(np.uint8))
