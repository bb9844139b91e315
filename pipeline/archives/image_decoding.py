"""Decoding of image files: with limits, strict about corruption, 8 bits per channel."""

import contextlib
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.core.errors import BoxlineError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The accepted subset of Pillow's formats: raster images only, and none that Pillow renders with another program."""


@contextlib.contextmanager
def open_image(content: bytes, name: str, advice: str) -> Iterator[Image.Image]:
    """Open an encoded image and convert decoding errors.

    Only the header is read here; Pillow decodes the pixels when the block accesses them. So a small file that declares
    a huge image costs nothing until then.

    Args:
        content: the encoded image.
        name: the subject of the error message.
        advice: the sentence that ends the error message.

    Raises:
        BoxlineError: if header or pixels cannot be decoded, inside of the block too.

    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            yield image
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,  # raised if the caller turned the warning into an error
    ) as error:
        is_identified = not isinstance(error, UnidentifiedImageError)
        reason = str(error).partition(", could be decompression bomb")[0] if is_identified else "no known image format"
        raise BoxlineError(f"{name} does not decode ({reason}). {advice}") from None


def to_uint8(image: Image.Image) -> Image.Image:
    """Scale a 16-bit grayscale image to 8 bits and return any other image unchanged.

    Pillow's own conversion would clip the values at 255.

    Raises:
        ValueError: for 32-bit integers and floats, which do not define a value for white.

    """
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no range; save it with 8 or 16 bits")
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.float32) / 257).round().astype(np.uint8))
