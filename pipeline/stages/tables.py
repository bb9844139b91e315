"""Stage `tables`: the archives of a dataset as Parquet tables of images in splits, boxes and categories."""

import logging
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.image_members import with_member_names
from pipeline.core.atomic_files import atomic_directory
from pipeline.core.config import load_params
from pipeline.core.formatting import pluralize
from pipeline.datasets.formats.split_names import SPLITS
from pipeline.datasets.read_dataset import read_dataset
from pipeline.datasets.splits import assign_splits, is_grouped_by_similarity, limit_images, parse_split
from pipeline.stages.runner import run_stage
from pipeline.validation.inspection import inspect_images
from pipeline.validation.similarity import similar_groups, thumbnails_of

logger = logging.getLogger(__name__)


def tables(dataset: str, download: Path, out: Path) -> None:
    """Convert the archives to tables.

    Args:
        dataset: a key of `datasets` in params.yaml.
        download: the folder of the archives.
        out: the folder to replace.

    """
    config, where = load_params().dataset(dataset), f"datasets.{dataset}"
    split = parse_split(config.split, where)
    reading = read_dataset(dataset, config, download)
    archives = ArchiveFolder(download)
    groups = _similar_groups(reading.tables.images, archives) if is_grouped_by_similarity(split) else None
    reading = limit_images(assign_splits(reading, split, where, groups), config.limit, split)
    published = reading.tables
    found = replace(published, images=with_member_names(published.images, archives))
    num_renamed = pc.sum(pc.not_equal(found.images["member"], published.images["member"])).as_py() or 0
    if num_renamed:
        logger.info("found %s under another name than published", pluralize(num_renamed, "image", "images"))
    with atomic_directory(out) as folder:
        replace(reading, tables=found).write(folder)
    counts = Counter(found.images["split"].to_pylist())
    logger.info(
        "wrote %s of %s with %s: %s",
        pluralize(found.images.num_rows, "image", "images"),
        dataset,
        pluralize(found.boxes.num_rows, "box", "boxes"),
        ", ".join(f"{counts[name]:,} {name}" for name in SPLITS if name in counts),
    )


def _similar_groups(images: pa.Table, archives: ArchiveFolder) -> NDArray[np.int64]:
    """The group of each image, from all files; `inspect` reads them again, once they have splits."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        files = inspect_images(images, archives, executor)
    return similar_groups(thumbnails_of(files["thumbnail"]), files["sha256"].to_pylist())


if __name__ == "__main__":
    run_stage(tables)
