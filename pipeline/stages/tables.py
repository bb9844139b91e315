"""Stage `tables`: the archives of a dataset as three Parquet tables of images, boxes and categories."""

import logging
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc

from pipeline.archives.image_members import with_member_names
from pipeline.archives.zip_archive import ArchiveFolder
from pipeline.core.atomic_files import atomic_directory
from pipeline.core.config import load_params
from pipeline.core.errors import BoxlineError
from pipeline.core.formatting import pluralize
from pipeline.datasets.read_dataset import read_dataset
from pipeline.stages.runner import run_stage

logger = logging.getLogger(__name__)


def tables(dataset: str, download: Path, out: Path) -> None:
    """Convert the archives to tables.

    Args:
        dataset: a key of `datasets` in params.yaml.
        download: the folder of the archives.
        out: the folder to replace.

    """
    reading = read_dataset(dataset, load_params().dataset(dataset), download)
    published = reading.tables
    if "train" not in published.images["split"].unique().to_pylist():
        raise BoxlineError(
            f"{dataset} has no training images: its annotations in {download} list none for the split train, expected "
            "at least one. Splits that are only evaluated may be empty."
        )
    found = replace(published, images=with_member_names(published.images, ArchiveFolder(download)))
    num_renamed = pc.sum(pc.not_equal(found.images["member"], published.images["member"])).as_py() or 0
    if num_renamed:
        logger.info("found %s under another name than published", pluralize(num_renamed, "image", "images"))
    with atomic_directory(out) as folder:
        replace(reading, tables=found).write(folder)
    logger.info("wrote %d images and %d boxes of %s", published.images.num_rows, published.boxes.num_rows, dataset)


if __name__ == "__main__":
    run_stage(tables)
