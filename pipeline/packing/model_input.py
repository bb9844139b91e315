"""From an image file to the pixels of a model input."""

import hashlib
from typing import Literal

import cv2
import numpy as np
import PIL
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from pipeline.archives.image_decoding import open_image, to_uint8
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES, Member
from pipeline.core.errors import BoxlineError
from pipeline.geometry.resize import PIXEL_TRANSFORMS
from pipeline.packing.config import PackConfig

PIXEL_VERSION = 1
"""The version of the conversion from image files to pixels.

Increment it with every change after which a file may give other pixels: of this module, of archives/image_decoding.py
or of geometry/resize.py. All images are then decoded again.
"""

DIGEST_BYTES = 32


def pixel_digests(images: pa.Table, sha256_of_files: pa.ChunkedArray, config: PackConfig) -> pa.Array:
    """Return a digest of everything that the pixels of each model input depend on.

    That is the image file, its stated size, `config`, and the versions of this code, Pillow and OpenCV.

    Args:
        images: rows of schema.IMAGES.
        sha256_of_files: the SHA-256 sum of each image file in hexadecimal digits.
        config: the size, channels and resizing of the model inputs.

    Returns:
        One digest of 32 bytes per image.

    Raises:
        ValueError: if the sum of a file is null.

    """
    if sha256_of_files.null_count:
        raise ValueError("an image cannot be packed without the SHA-256 sum of its file")
    conversion = (
        f"{PIXEL_VERSION} {PIL.__version__} {cv2.__version__} {config.image_size} {config.channels} {config.resize}"
    )
    rows = zip(*(column.to_pylist() for column in (sha256_of_files, images["width"], images["height"])), strict=True)
    digests = [
        hashlib.sha256(f"{conversion} {sha256} {width} {height}".encode()).digest() for sha256, width, height in rows
    ]
    return pa.array(digests, pa.binary(DIGEST_BYTES))


def decode_model_input(
    member: Member, width: int, height: int, config: PackConfig, model_input: NDArray[np.uint8]
) -> None:
    """Decode an image of an archive and resize it into `model_input`.

    Args:
        member: the image file.
        width: the width of the image in pixels according to its annotation.
        height: the height of the image in pixels according to its annotation.
        config: the size, channels and resizing of the model input.
        model_input: the array to fill, uint8 [size, size, channels].

    Raises:
        BoxlineError: as `decode_image`.

    """
    transform = PIXEL_TRANSFORMS[config.resize](width, height, config.image_size)
    mode: Literal["RGB", "L"] = "RGB" if config.channels == 3 else "L"
    transform.apply_image(decode_image(member, width, height, mode), model_input)


def decode_image(member: Member, width: int, height: int, mode: Literal["RGB", "L"]) -> NDArray[np.uint8]:
    """Decode an image of an archive. Ignores orientation tags: boxes refer to the pixels as stored.

    Args:
        member: the image file.
        width: the width of the image in pixels according to its annotation.
        height: the height of the image in pixels according to its annotation.
        mode: Pillow's name of the channels.

    Returns:
        uint8 [height, width, channels].

    Raises:
        BoxlineError: if the image does not decode or has another size than stated; the message names archive and
            member.

    """
    with open_image(member.read(MAX_IMAGE_BYTES), str(member), "Replace the image, or drop its annotations.") as image:
        if image.size != (width, height):
            raise BoxlineError(
                f"{member} is {image.size[0]} x {image.size[1]} pixels, "
                f"its annotation says {width} x {height}. Correct the annotation or the image."
            )
        image_uint8 = to_uint8(image)
        # Pillow copies an image even if it already has the mode that it is converted to.
        return _to_array(image_uint8 if image_uint8.mode == mode else image_uint8.convert(mode))


def _to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Returns the pixels of an RGB or gray image, uint8 [height, width, channels].

    np.asarray would copy them twice, and hold the interpreter lock meanwhile.
    """
    try:
        pixels = pa.array(image)
    except ValueError:  # Pillow stores a large image in several blocks
        return np.asarray(image).reshape(image.height, image.width, -1)
    if image.mode == "L":
        return pixels.to_numpy().reshape(image.height, image.width, 1)
    rgbx = pixels.flatten().to_numpy().reshape(image.height, image.width, 4)
    return cv2.cvtColor(rgbx, cv2.COLOR_RGBA2RGB)
