"""Inspects image files independently of their annotations and of the checks. Each file is read once."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.image_decoding import open_image, to_uint8
from pipeline.archives.image_members import find_members
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES, Member
from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.progress import ProgressBar

CHUNK_IMAGES = 64
"""Images per task: enough to make the overhead of tasks negligible, and few enough to keep every core busy."""

FILE_COLUMNS = pa.schema([field for field in schema.FILES if field.name not in ("image_id", "split")])

ORIENTATION_TAG = 0x0112


def inspect_images(images: pa.Table, archives: ArchiveFolder, executor: Executor) -> pa.Table:
    """Inspect the file of each image. Memory does not grow with the size of the files.

    Args:
        images: schema.IMAGES.
        archives: the archives of the images.
        executor: runs the tasks; threads or processes.

    Returns:
        schema.FILES, one row per image in the same order.

    """
    members = find_members(images, archives)
    chunks = [members[start : start + CHUNK_IMAGES] for start in range(0, len(members), CHUNK_IMAGES)]
    tables = [FILE_COLUMNS.empty_table()]
    with ProgressBar("inspecting", len(members), "image") as progress:
        for table in executor.map(_inspect, chunks):
            tables.append(table)
            progress.update(table.num_rows)
    table = pa.concat_tables(tables)
    return pa.table([images["image_id"], images["split"], *table.columns], schema.FILES)


def _inspect(members: Sequence[Member | str]) -> pa.Table:
    rows = [{"problem": member} if isinstance(member, str) else _inspect_file(member) for member in members]
    return pa.Table.from_pylist(rows, FILE_COLUMNS)


def _inspect_file(member: Member) -> dict[str, Any]:
    try:
        content = member.read(MAX_IMAGE_BYTES)
    except BoxlineError as error:
        return {"problem": str(error)}
    columns: dict[str, Any] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    if not content:
        return columns | {"problem": "the file is empty"}
    try:
        with open_image(content, "the file", "") as image:
            columns |= {"format": image.format, "mode": image.mode, "width": image.width, "height": image.height}
            columns |= {"thumbnail": _thumbnail(image), "orientation": _orientation(image)}
    except BoxlineError as error:
        columns["problem"] = str(error)
    return columns


def _thumbnail(image: Image.Image) -> bytes:
    """Decode all pixels and average them to a small gray square, stored row by row."""
    # JPEG stores luminance and color separately. Decoding the luminance only is faster and still reads every byte.
    image.draft("L", image.size)
    gray = np.asarray(to_uint8(image).convert("L"))
    return cv2.resize(gray, (schema.THUMBNAIL_SIDE, schema.THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).tobytes()


def _orientation(image: Image.Image) -> int | None:
    """The EXIF orientation, 1 to 8: 1 (upright) if there is no valid tag, and None if the EXIF data are corrupt."""
    try:
        tag = image.getexif().get(ORIENTATION_TAG)
    except SyntaxError:
        return None
    return tag if tag in range(1, 9) else 1
