"""boxline export: tables as a COCO instances file."""

import argparse
import logging
from pathlib import Path

from pipeline.core.errors import BoxlineError, join_items
from pipeline.core.exit_codes import require_writable_path
from pipeline.datasets.annotations import Tables
from pipeline.datasets.formats.coco_writer import write_instances

logger = logging.getLogger(__name__)

HELP = "write tables as a COCO instances file"
DESCRIPTION = (
    "Write the tables of one split in COCO's instances format, which annotation tools and other trainers read: the "
    "same ids and numbers, images and boxes in their order, categories by id. Outlines are not in tables, and so not "
    "in the file."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that `export` takes."""
    parser.add_argument("tables", metavar="TABLES", type=Path, help="folder of tables: data/coco/validate")
    parser.add_argument("out", metavar="FILE", type=Path, help="file to write, replaced where it is there")
    parser.add_argument("--split", default="train", help="train, val or test (default: train)")


def export(tables: Path, out: Path, split: str) -> int:
    """Write the images of that split with their boxes, and all categories; return the exit code."""
    require_writable_path(out, "FILE")
    read = Tables.read(tables)
    known = read.images["split"].unique().to_pylist()
    if split not in known:
        raise BoxlineError(f"{tables} holds no images of split {split!r}; expected --split {join_items(known)}.")
    chosen = read.split(split)
    write_instances(out, chosen)
    logger.info("wrote %d images and %d boxes to %s", chosen.images.num_rows, chosen.boxes.num_rows, out)
    return 0
