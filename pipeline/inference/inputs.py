"""Images that a user names: files, folders, patterns, addresses."""

import glob
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.archives.image_decoding import open_image, to_uint8
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES
from pipeline.core.errors import BoxlineError
from pipeline.core.redaction import redact_url
from pipeline.download.retry import RetryPolicy
from pipeline.download.transfer import download_url

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
"""What counts as an image in a folder. A file named by itself may have any name."""

JPEG_FORMATS = ("JPEG", "MPO")
"""Some cameras put several JPEGs into one file, which Pillow calls MPO; the first one counts."""

PHOTO_RETRY = RetryPolicy(tries=3)
"""Less than for a dataset: somebody waits, and the other images go on without this one."""


@dataclass(frozen=True)
class Photograph:
    """A decoded image: its `name` as the user wrote it, and upright uint8 `pixels` [height, width, 3].

    An address is without user, password and query, which may be a key.
    """

    name: str
    pixels: NDArray[np.uint8]
    is_jpeg: bool

    @property
    def width(self) -> int:
        """Pixels."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.pixels.shape[0]


def find_images(inputs: Sequence[str], out: Path) -> list[str]:
    """The files and addresses behind `inputs`, in their order, each once.

    An input is a file, a folder, whose images count at any depth in the order of their names, a pattern of such, or an
    http(s) address. Images below `out`, where a former run drew them, do not count as images of a folder around it.
    Raises BoxlineError for an input with no image.
    """
    return list(dict.fromkeys(name for text in inputs for name in _images_of(text, out)))


def read_photograph(name: str) -> Photograph:
    """Decode a file or an address. Orientation tags are applied, so that boxes fit what image viewers show.

    Raises BoxlineError where it cannot be read, is no image, is damaged, or is larger than 64 MiB or than Pillow's
    limit of 89 million pixels; the latter are never decoded.
    """
    shown = redact_url(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with open_image(_read(name), shown, "Give another image.") as image:
            upright = to_uint8(ImageOps.exif_transpose(image)).convert("RGB")
            return Photograph(shown, np.asarray(upright), image.format in JPEG_FORMATS)


def is_address(text: str) -> bool:
    """Whether that is an http(s) address and no path."""
    return text.lower().startswith(("http://", "https://"))


def _images_of(text: str, out: Path) -> Iterator[str]:
    if is_address(text):
        yield text
        return
    # Not Path.glob, which takes no absolute pattern.
    paths = [text] if _exists(text) else sorted(glob.glob(text, recursive=True))  # noqa: PTH207
    if not paths:
        raise BoxlineError(
            f"{text} not found. "
            "An input is an image, a folder, a pattern such as 'photos/*.jpg', or an http(s) address."
        )
    found = [name for path in paths for name in _files_of(Path(path), out)]
    if not found:
        raise BoxlineError(f"{text} holds no images; known are names that end in {', '.join(sorted(SUFFIXES))}.")
    yield from found


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # a name that is too long, a folder that is not ours
        return False


def _files_of(path: Path, out: Path) -> Iterator[str]:
    if not path.is_dir():
        yield str(path)
        return
    previous = out.resolve()
    inside = previous != path.resolve() and previous.is_relative_to(path.resolve())
    for file in sorted(path.rglob("*")):
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file():
            if inside and file.resolve().is_relative_to(previous):
                continue
            yield str(file)


def _read(name: str) -> bytes:
    if not is_address(name):
        return _read_file(Path(name), name)
    with tempfile.TemporaryDirectory(prefix="boxline-") as folder:
        target = Path(folder) / "image"
        download_url(name, target, PHOTO_RETRY, "Give the address of an image.", MAX_IMAGE_BYTES)
        return target.read_bytes()


def _read_file(path: Path, name: str) -> bytes:
    try:
        if not path.is_file():
            raise BoxlineError(f"{name} is not a file. Give an image.")
        size_bytes = path.stat().st_size
        if size_bytes > MAX_IMAGE_BYTES:
            raise BoxlineError(f"{name} has {size_bytes} bytes, more than {MAX_IMAGE_BYTES} allowed.")
        return path.read_bytes()
    except OSError as error:
        raise BoxlineError(f"{name} could not be read: {error.strerror}.") from None
