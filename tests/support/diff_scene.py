"""Two versions of a small dataset on disk with archives: each kind of change occurs once, and names are hostile."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.archives.zip_archive import write_archive
from pipeline.core import schema
from pipeline.core.parquet import write_table
from pipeline.datasets.annotations import Tables
from pipeline.diff.revisions import DatasetVersion, folder_of_tables
from tests.support.diff_snapshots import categories_of
from tests.support.scenes import box, boxes_table, image

CAT, DOG, OWL = 2, 5, 6
SCRIPT = "<script>alert(1)</script>"
QUOTED = 'it\'s "quoted" & <b>.png'

EDITED, OTHER_PIXELS, REMOVED, ADDED, TWICE, MOVED, SAME = 7, 3, 9, 12, 11, 13, 14

Row = dict[str, Any]


def encoded_image(width: int, height: int, color: tuple[int, int, int], kind: str = "PNG", **options: Any) -> bytes:
    """Encode an image of one color with a white corner at the top left."""
    pixels = np.full((height, width, 3), color, np.uint8)
    pixels[: height // 4, : width // 4] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


RED, GREEN, BLUE = (
    encoded_image(64, 48, (200, 30, 30)),
    encoded_image(40, 60, (20, 160, 40)),
    encoded_image(60, 40, (20, 40, 200)),
)


def row(image_id: int, split: str, width: int, height: int, file_name: str | None = None) -> Row:
    made = image(image_id, split, width=width, height=height)
    name = file_name or str(made["file_name"])
    return {**made, "archive": "zips/all.zip", "file_name": name, "member": f"images/{image_id}.png"}


BEFORE = [
    row(EDITED, "train", 64, 48, QUOTED),
    row(OTHER_PIXELS, "val", 40, 60),
    row(REMOVED, "test", 64, 48),
    row(TWICE, "val", 60, 40),
    row(MOVED, "val", 64, 48),
    row(SAME, "val", 64, 48),
]
BOXES_BEFORE = [
    box(1, EDITED, CAT, (16, 12, 20, 12)),
    box(2, EDITED, DOG, (0, 24, 16, 24)),
    box(3, EDITED, DOG, (48, 0, 16, 6)),
    box(4, EDITED, OWL, (40, 36, 8, 12)),
    box(5, EDITED, DOG, (32, 36, 4, 12)),
    box(6, OTHER_PIXELS, DOG, (10, 15, 20, 30)),
    box(7, REMOVED, CAT, (8, 12, 16, 24)),
    box(8, SAME, CAT, (8, 12, 16, 24)),
]
AFTER = [
    row(EDITED, "train", 64, 48, QUOTED),
    row(OTHER_PIXELS, "val", 60, 40),
    row(TWICE, "val", 60, 40),
    {**row(MOVED, "train", 64, 48)},
    row(SAME, "val", 64, 48),
    row(ADDED, "train", 60, 40),
]
BOXES_AFTER = [
    box(21, EDITED, CAT, (16, 12, 16, 12)),  # 16 of 20 columns are left: IoU 0.8
    box(22, EDITED, CAT, (0, 24, 16, 24)),  # was a dog
    box(23, EDITED, DOG, (48, 0, 16, 6)),  # the same
    box(24, EDITED, OWL, (40, 36, 8, 12), is_crowd=True),
    box(25, EDITED, DOG, (8, 36, 4, 12)),  # elsewhere: one removed, one added
    box(26, OTHER_PIXELS, DOG, (10, 15, 20, 30)),
    box(28, SAME, CAT, (8, 12, 16, 24)),
    box(29, ADDED, OWL, (6, 4, 30, 20)),
    box(30, ADDED, DOG, (0, 0, 6, 4)),
]
PIXELS_BEFORE = {EDITED: RED, OTHER_PIXELS: GREEN, REMOVED: encoded_image(64, 48, (90, 90, 90)), TWICE: BLUE}
PIXELS_BEFORE |= {MOVED: encoded_image(64, 48, (1, 2, 3)), SAME: encoded_image(64, 48, (9, 9, 9))}
PIXELS_AFTER = {**PIXELS_BEFORE, OTHER_PIXELS: encoded_image(60, 40, (200, 200, 20)), ADDED: BLUE}


def write_version(
    folder: Path,
    images: Sequence[Row],
    boxes: Sequence[Row],
    pixels: Mapping[int, bytes],
    classes: Mapping[int, str],
    reasons: Sequence[str] = (),
) -> Path:
    """Write tables to folder/validate and an archive to folder/download; return the folder of tables."""
    tables = folder / "validate"
    Tables(
        pa.Table.from_pylist(list(images), schema.IMAGES),
        boxes_table(images, boxes),
        categories_of(classes),
    ).write(tables)
    files = [
        {"image_id": one["image_id"], "split": one["split"], "sha256": digest(pixels[one["image_id"]])}
        for one in images
    ]
    write_table(tables / "files.parquet", pa.Table.from_pylist(files, schema.FILES), schema.FILES)
    row = {"table": "boxes", "row_number": 1, "row_id": 99, "split": "val", "image_id": 7, "values": "{}", "row": "{}"}
    quarantined = [{**row, "reason": reason} for reason in reasons]
    write_table(tables / "quarantine.parquet", pa.Table.from_pylist(quarantined, schema.QUARANTINE), schema.QUARANTINE)
    members = [(one["member"], pixels[one["image_id"]]) for one in images]
    write_archive(folder / "download" / "zips" / "all.zip", members)
    return tables


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_before(folder: Path) -> Path:
    return write_version(folder, BEFORE, BOXES_BEFORE, PIXELS_BEFORE, {CAT: "cat", DOG: "dog", OWL: "owl"}, ["a", "b"])


def write_after(folder: Path) -> Path:
    return write_version(folder, AFTER, BOXES_AFTER, PIXELS_AFTER, {CAT: SCRIPT, DOG: "dog", OWL: "owl"}, ["b", "b"])


def versions(folder: Path) -> tuple[DatasetVersion, DatasetVersion]:
    """Write both versions to `folder`; their datasets are named like their folders, "old" and "new"."""
    return folder_of_tables(write_before(folder / "old")), folder_of_tables(write_after(folder / "new"))
