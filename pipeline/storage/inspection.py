"""What the image files are, whatever the annotations say of them: one look at each, whatever is checked later."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline import schema
from pipeline.errors import BoxlineError
from pipeline.progress import bar
from pipeline.storage.archives import MAX_IMAGE_BYTES, ArchiveFolder, Member
from pipeline.storage.decoding import eight_bits, opened

CHUNK_IMAGES = 64
"""Images of one task: enough that handing out tasks costs nothing, few enough that every core has some."""

THUMBNAIL_SIDE = 16
ORIENTATION_TAG = 0x0112


def inspect_images(images: pa.Table, archives: ArchiveFolder, executor: Executor) -> pa.Table:
    """One row of schema.FILES per row of `images`, in that order. Memory does not grow with the size of the files."""
    members = [
        archives[archive].get(member)
        for archive, member in zip(images["archive"].to_pylist(), images["member"].to_pylist(), strict=True)
    ]
    chunks = [members[start : start + CHUNK_IMAGES] for start in range(0, len(members), CHUNK_IMAGES)]
    rows: list[dict[str, Any]] = []
    with bar("inspecting", len(members), "image") as progress:
        for chunk in executor.map(_inspect, chunks):
            rows += chunk
            progress.update(len(chunk))
    for row, image_id in zip(rows, images["image_id"].to_pylist(), strict=True):
        row["image_id"] = image_id
    return pa.Table.from_pylist(rows, schema.FILES)


def _inspect(members: Sequence[Member | None]) -> list[dict[str, Any]]:
    return [_facts(member) if member else {"problem": "not in its archive"} for member in members]


def _facts(member: Member) -> dict[str, Any]:
    try:
        content = member.read(MAX_IMAGE_BYTES)
    except BoxlineError as error:
        return {"problem": str(error)}
    facts: dict[str, Any] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    try:
        with opened(content, str(member), "") as image:
            facts |= {
                "format": image.format,
                "mode": image.mode,
                "width": image.width,
                "height": image.height,
                "orientation": image.getexif().get(ORIENTATION_TAG, 1),
            }
            facts["thumbnail"] = _thumbnail(image)
    except BoxlineError as error:
        facts["problem"] = str(error).strip()
    return facts


def _thumbnail(image: Image.Image) -> bytes:
    """All pixels decoded, averaged to a small grey square; row by row."""
    grey = np.asarray(eight_bits(image).convert("L"))
    return cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).tobytes()
