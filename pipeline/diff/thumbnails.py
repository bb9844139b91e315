"""Small pictures of a dataset's images, from the archives of one version of it."""

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
"""Pixels of the longer side of a picture."""

JPEG_QUALITY = 80


class Pixels:
    """The images of one dataset in one version, where their archives are on this machine; nothing is fetched."""

    def __init__(self, version: DatasetVersion, dataset: str) -> None:
        self._version = version
        self._dataset = dataset
        self._archives: dict[Path, Archive] = {}

    def small_jpeg(self, image: Mapping[str, Any]) -> bytes:
        """An image, a row of schema.IMAGES with its sha256, as a JPEG of MAX_SIDE pixels at most, not turned.

        Only this member of its archive is read. Raises BoxlineError saying why there is none.
        """
        content = self._archive(image["archive"])[image["member"]].read(MAX_IMAGE_BYTES)
        if image["sha256"] not in (None, hashlib.sha256(content).hexdigest()):
            raise BoxlineError(f"{image['archive']} of {self._version.name} has another file of that name now.")
        with open_image(content, image["file_name"], "") as picture:
            picture.draft("RGB", (MAX_SIDE, MAX_SIDE))  # large JPEGs are decoded at a fraction of their size
            small = to_uint8(picture).convert("RGB")
            small.thumbnail((MAX_SIDE, MAX_SIDE))
        jpeg = io.BytesIO()
        small.save(jpeg, "JPEG", quality=JPEG_QUALITY)
        return jpeg.getvalue()

    def _archive(self, name: str) -> Archive:
        path = self._version.archive(self._dataset, name)
        if path is None:
            raise BoxlineError(f"{name} of {self._version.name} is not on this machine.")
        if path not in self._archives:
            self._archives[path] = Archive(path)
        return self._archives[path]
