"""What the image files are, whatever the annotations say of them: one look at each, whatever is checked later."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.archives.image_decoding import open_image, to_uint8
from pipeline.archives.zip_archive import MAX_IMAGE_BYTES, ArchiveFolder, Member
from pipeline.core import schema
from pipeline.core.errors import BoxlineError
from pipeline.core.progress import bar

CHUNK_IMAGES = 64
"""Images of one task: enough that handing out tasks costs nothing, few enough that every core has some."""

FINDINGS = pa.schema([field for field in schema.FILES if field.name != "image_id"])

THUMBNAIL_SIDE = 16
ORIENTATION_TAG = 0x0112


def inspect_images(images: pa.Table, archives: ArchiveFolder, executor: Executor) -> pa.Table:
    """One row of schema.FILES per row of `images`, in that order. Memory does not grow with the size of the files."""
    members = [
        archives[archive].get(member)
        for archive, member in zip(images["archive"].to_pylist(), images["member"].to_pylist(), strict=True)
    ]
    chunks = [members[start : start + CHUNK_IMAGES] for start in range(0, len(members), CHUNK_IMAGES)]
    findings = [FINDINGS.empty_table()]
    with bar("inspecting", len(members), "image") as progress:
        for found in executor.map(_inspect, chunks):
            findings.append(found)
            progress.update(found.num_rows)
    table = pa.concat_tables(findings)
    return pa.table([images["image_id"], *table.columns], schema.FILES)


def _inspect(members: Sequence[Member | None]) -> pa.Table:
    rows = [_facts(member) if member else {"problem": "not in its archive"} for member in members]
    return pa.Table.from_pylist(rows, FINDINGS)


def _facts(member: Member) -> dict[str, Any]:
    try:
        content = member.read(MAX_IMAGE_BYTES)
    except BoxlineError as error:
        return {"problem": str(error)}
    facts: dict[str, Any] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    if not content:
        return facts | {"problem": "the file is empty"}
    try:
        with open_image(content, "the file", "") as image:
            facts |= {"format": image.format, "mode": image.mode, "width": image.width, "height": image.height}
            facts |= {"thumbnail": _thumbnail(image), "orientation": _orientation(image)}
    except BoxlineError as error:
        facts["problem"] = str(error).strip()
    except MemoryError:  # says nothing about the image
        raise
    # Decoders have many ways to fail at bytes that nobody meant; one file must not stop the look at all others.
    except Exception as error:
        facts["problem"] = f"the file does not decode ({type(error).__name__}: {error})."
    return facts


def _thumbnail(image: Image.Image) -> bytes:
    """All pixels decoded, averaged to a small grey square; row by row."""
    # JPEG keeps grey and colours apart: without the colours it decodes faster, and reads every byte all the same.
    image.draft("L", image.size)
    grey = np.asarray(to_uint8(image).convert("L"))
    return cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).tobytes()


def _orientation(image: Image.Image) -> int | None:
    """The EXIF tag, 1 to 8: 1, upright, where there is none that viewers know, and None where EXIF is damaged."""
    try:
        tag = image.getexif().get(ORIENTATION_TAG)
    except SyntaxError:
        return None
    return tag if tag in range(1, 9) else 1
