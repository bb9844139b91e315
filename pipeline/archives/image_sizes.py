"""Sizes of images from their headers, for annotations that do not state them."""

from typing import Protocol

from pipeline.archives.image_decoding import open_image
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES
from pipeline.core.errors import BoxlineError

HEAD_BYTES = 64 << 10
"""Enough to hold the size of almost every image; in some, long metadata come before it."""


class ImageFile(Protocol):
    """A loose file or a member of an archive. Its methods raise BoxlineError if it is corrupt or unreadable."""

    def read(self, max_bytes: int) -> bytes:
        """Return the content, if it has at most `max_bytes`."""

    def read_head(self, num_bytes: int) -> bytes:
        """Return the first bytes, or all if there are fewer."""


def image_size(file: ImageFile | None) -> tuple[int, int]:
    """Width and height in pixels from the header of an image.

    The first HEAD_BYTES are read, and the whole file only if they do not suffice, so damaged pixels go unnoticed.
    The size of a missing or unreadable file is 0, 0: the stage `inspect` finds the reason, and `validate` quarantines
    the image.

    Raises:
        OSError: if the disk fails.

    """
    if file is None:
        return 0, 0
    try:
        head = file.read_head(HEAD_BYTES)
        size = _size_in(head)
        if size is None and len(head) == HEAD_BYTES:
            size = _size_in(file.read(MAX_IMAGE_BYTES))
    except BoxlineError:
        return 0, 0
    return size or (0, 0)


def _size_in(content: bytes) -> tuple[int, int] | None:
    try:
        with open_image(content, "", "") as image:
            return image.size
    except BoxlineError:
        return None
