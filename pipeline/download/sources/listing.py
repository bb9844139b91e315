"""The files of a source that nobody has listed: a folder of a user, whose files are packed into two archives."""

import os
from pathlib import Path

from pipeline.archives.tfrecord_archive import is_record_name
from pipeline.core.errors import BoxlineError
from pipeline.core.file_names import IMAGE_SUFFIXES
from pipeline.download.manifest import Asset

ARCHIVE_SUFFIXES = (".zip",)

IMAGES_ARCHIVE = "images.zip"
OTHERS_ARCHIVE = "annotations.zip"
"""Loose images and all other loose files have an archive each: corrected annotations do not store the images again."""


def list_assets(source: str) -> list[Asset]:
    """List the files of a folder as assets: archives as they are, loose files packed.

    Args:
        source: a folder.

    Raises:
        BoxlineError: if there is no such folder, or it is empty.

    """
    root = Path(source).expanduser()
    if not root.is_dir():
        raise BoxlineError(f"{source} not found. Check the address in `source` of params.yaml.")
    archives: list[str] = []
    images: list[str] = []
    others: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            name = (Path(folder) / file).relative_to(root).as_posix()
            suffix = Path(file).suffix.lower()
            if not file.startswith("."):
                is_archive = suffix in ARCHIVE_SUFFIXES or is_record_name(file)
                (archives if is_archive else images if suffix in IMAGE_SUFFIXES else others).append(name)
    assets = [Asset(name) for name in archives]
    if images:
        assets.append(Asset(IMAGES_ARCHIVE, members=tuple(images)))
    if others:
        assets.append(Asset(OTHERS_ARCHIVE, members=tuple(others)))
    if not assets:
        raise BoxlineError(f"{source} has no files. Check the address in `source` of params.yaml.")
    return assets
