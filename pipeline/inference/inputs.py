"""Images given by the user: files, folders, patterns and URLs."""

import glob
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps

from pipeline.archives.image_decoding import open_image, to_uint8
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES
from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_url
from pipeline.download.retry import RetryPolicy
from pipeline.download.transfer import download_url

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
"""Suffixes of images in a folder. A file that is given by itself may have any name."""

JPEG_FORMATS = ("JPEG", "MPO")
"""Some cameras put several JPEGs into one file, which Pillow calls MPO; the first one is read."""

IMAGE_RETRY = RetryPolicy(max_attempts=3)
"""Fewer tries than for a dataset: a user waits, and the other images do not depend on this one."""


@dataclass(frozen=True)
class InputImage:
    """A decoded image.

    Attributes:
        name: as the user wrote it; a URL is without user, password and query, which may hold secrets.
        pixels: uint8 [height, width, 3], RGB, upright.
        is_jpeg: whether the file is a JPEG, so that its annotated copy becomes one, too.

    """

    name: str
    pixels: NDArray[np.uint8]
    is_jpeg: bool


def find_images(inputs: Sequence[str], out: Path) -> list[str]:
    """The files and URLs that `inputs` stand for, in their order, without duplicates.

    Args:
        inputs: each is a file, a folder, whose images count at any depth in the order of their names, a pattern of
            files or folders, or an http(s) URL.
        out: the folder of predictions. Its images are ignored if an input folder contains it.

    Raises:
        BoxlineError: if an input has no image.

    """
    return list(dict.fromkeys(name for text in inputs for name in _expand(text, out)))


def read_image(name: str) -> InputImage:
    """Decode a file or download and decode a URL. EXIF orientation is applied, so that boxes fit what viewers show.

    Raises:
        BoxlineError: if the image cannot be read, is corrupt or no image, or has more than MAX_IMAGE_BYTES
            or MAX_IMAGE_PIXELS. Images beyond the limits are not decoded.

    """
    display_name = redact_url(name)
    with open_image(_read(name), display_name, "Give another image.") as image:
        upright = to_uint8(ImageOps.exif_transpose(image)).convert("RGB")
        return InputImage(display_name, np.asarray(upright), image.format in JPEG_FORMATS)


def is_url(text: str) -> bool:
    """Whether the text is an http(s) URL and not a path."""
    return text.lower().startswith(("http://", "https://"))


def _expand(text: str, out: Path) -> Iterator[str]:
    if is_url(text):
        yield text
        return
    # Not Path.glob, which accepts no absolute pattern.
    paths = [text] if _exists(text) else sorted(glob.glob(text, recursive=True))  # noqa: PTH207
    if not paths:
        raise BoxlineError(
            f"{text} not found. An input is an image, a folder, a pattern such as 'photos/*.jpg', or an http(s) URL."
        )
    names = [name for path in paths for name in _image_files(Path(path), out)]
    if not names:
        raise BoxlineError(f"{text} holds no images, expected names that end in {', '.join(sorted(SUFFIXES))}.")
    yield from names


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # the name is too long, or the folder is not accessible
        return False


def _image_files(path: Path, out: Path) -> Iterator[str]:
    """The path itself if it is no folder, else the images in it."""
    if not path.is_dir():
        yield str(path)
        return
    previous = out.resolve()
    contains_previous = previous != path.resolve() and previous.is_relative_to(path.resolve())
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file():
            if contains_previous and file.resolve().is_relative_to(previous):
                continue
            yield str(file)


def _read(name: str) -> bytes:
    if not is_url(name):
        return _read_file(Path(name), name)
    with tempfile.TemporaryDirectory(prefix="boxline-") as folder:
        target = Path(folder) / "image"
        download_url(name, target, IMAGE_RETRY, "Give the URL of an image.", MAX_IMAGE_BYTES)
        return target.read_bytes()


def _read_file(path: Path, name: str) -> bytes:
    try:
        if not path.is_file():
            raise BoxlineError(f"{name} is not a file. Give an image.")
        size_bytes = path.stat().st_size
        if size_bytes > MAX_IMAGE_BYTES:
            raise BoxlineError(f"{name} has {size_bytes} bytes, expected at most {MAX_IMAGE_BYTES}.")
        return path.read_bytes()
    except OSError as error:
        raise BoxlineError(f"{name} could not be read: {error.strerror}.") from None
