"""Decoding of image files: with limits, strict about corruption, 8 bits per channel."""

import contextlib
import io
import threading
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.core.errors import BoxlineError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The accepted subset of Pillow's formats: raster images only, and none that Pillow renders with another program."""

MAX_IMAGE_PIXELS = 178_956_970
"""The largest image that is decoded, at every place that decodes one; in Pillow it takes 0.7 GB.

It is the size above which Pillow refuses images by default. Its own limit is off, because it also warns at half of it.
"""

Image.MAX_IMAGE_PIXELS = None

LARGE_IMAGE_PIXELS = 1 << 24
"""Of images above this size, one at a time is decoded in a process, however many threads it has."""

_large_image_lock = threading.RLock()


@contextlib.contextmanager
def open_image(content: bytes, name: str, advice: str) -> Iterator[Image.Image]:
    """Open an encoded image, and convert everything that its decoder raises to BoxlineError.

    Only the header is read here; Pillow decodes the pixels when the block accesses them. So a small file that declares
    a huge image costs nothing until then.

    Args:
        content: the encoded image.
        name: the subject of the error message.
        advice: the sentence that ends the error message.

    Raises:
        BoxlineError: if header or pixels cannot be decoded, inside of the block too, or if the image has more than
            MAX_IMAGE_PIXELS.

    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            num_pixels = image.width * image.height
            if num_pixels > MAX_IMAGE_PIXELS:
                raise ValueError(f"Image size ({num_pixels} pixels) exceeds limit of {MAX_IMAGE_PIXELS} pixels")
            with _large_image_lock if num_pixels > LARGE_IMAGE_PIXELS else contextlib.nullcontext():
                yield image
    except (BoxlineError, MemoryError):  # neither is a fault of the file
        raise
    except UnidentifiedImageError:
        raise BoxlineError(f"{name} does not decode (no known image format). {advice}".strip()) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise BoxlineError(f"{name} does not decode ({error}). {advice}".strip()) from None
    # Decoders raise many kinds of errors for malformed files; one file must not stop the work on all others.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise BoxlineError(f"{name} does not decode ({reason}). {advice}".strip()) from None


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
