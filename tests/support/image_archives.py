"""Archives with an image of one color for each row of a table."""

import io
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
from PIL import Image

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.zip_archive import write_archive


def write_image_archives(folder: Path, images: pa.Table, color: tuple[int, int, int] = (0, 0, 0)) -> ArchiveFolder:
    """Write the archives that `images`, a table with schema.IMAGES, names."""
    members = defaultdict(list)
    for row in images.to_pylist():
        content = io.BytesIO()
        Image.new("RGB", (row["width"], row["height"]), color).save(content, "PNG")
        members[row["archive"]].append((row["member"], content.getvalue()))
    for archive, contents in members.items():
        write_archive(folder / archive, contents)
    return ArchiveFolder(folder)
