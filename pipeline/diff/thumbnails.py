"""Thumbnails of a dataset's images, read from the archives of one version."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.archives.image_decoding import open_image, to_uint8
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES, Archive
from pipeline.core.errors import BoxlineError
from pipeline.diff.revisions import DatasetVersion

MAX_SIDE = 640
"""Pixels of the longer side of a thumbnail."""

JPEG_QUALITY = 80


class ThumbnailReader:
    """Reads images of one dataset in one version. Archives that are not on this machine are not downloaded."""

    def __init__(self, version: DatasetVersion, dataset: str) -> None:
        self._version = version
        self._dataset = dataset
        self._archives: dict[Path, Archive] = {}

    def read_jpeg(self, image: Mapping[str, Any]) -> bytes:
        """Return a thumbnail of an image; its orientation tag is not applied, since boxes refer to the stored pixels.

        Args:
            image: a row of schema.IMAGES with a value sha256. Only this member of the archive is read.

        Returns:
            A JPEG of at most MAX_SIDE pixels per side.

        Raises:
            BoxlineError: if the archive is missing or corrupt, or contains another file than the tables describe.

        """
        content = self._archive(image["archive"])[image["member"]].read(MAX_IMAGE_BYTES)
        if image["sha256"] not in (None, hashlib.sha256(content).hexdigest()):
            raise BoxlineError(f"{image['archive']} of {self._version.name} has another file of that name now.")
        with open_image(content, image["file_name"], "") as original:
            original.draft("RGB", (MAX_SIDE, MAX_SIDE))  # decodes large JPEGs at reduced resolution, which is faster
            thumbnail = to_uint8(original).convert("RGB")
            thumbnail.thumbnail((MAX_SIDE, MAX_SIDE))
        jpeg = io.BytesIO()
        thumbnail.save(jpeg, "JPEG", quality=JPEG_QUALITY)
        return jpeg.getvalue()

    def _archive(self, name: str) -> Archive:
        path = self._version.archive(self._dataset, name)
        if path is None:
            raise BoxlineError(f"{name} of {self._version.name} is not on this machine.")
        if path not in self._archives:
            self._archives[path] = Archive(path)
        return self._archives[path]
