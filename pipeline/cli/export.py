"""boxline export: tables as a COCO instances file."""

import logging
from pathlib import Path

from pipeline.cli.paths import require_writable_path
from pipeline.core.errors import BoxlineError, join_items
from pipeline.datasets.annotations import Tables
from pipeline.datasets.formats.coco_writer import write_instances

logger = logging.getLogger(__name__)


def export(tables: Path, file: Path, /, *, split: str = "train") -> int:
    """Write the tables of one split in COCO's instances format, which annotation tools and other trainers read.

    Ids, numbers and outlines are kept, images and boxes keep their order, and categories are sorted by id.

    Args:
        tables: folder of tables, such as data/coco/validate.
        file: file to write; an existing one is replaced.
        split: train, val or test.

    """
    require_writable_path(file, "FILE")
    published = Tables.read(tables, with_outlines=True)
    splits = published.images["split"].unique().to_pylist()
    if split not in splits:
        raise BoxlineError(f"{tables} holds no images of split {split!r}; expected --split {join_items(splits)}.")
    chosen = published.split(split)
    write_instances(file, chosen)
    logger.info("wrote %d images and %d boxes to %s", chosen.images.num_rows, chosen.boxes.num_rows, file)
    return 0
