"""tables: a dataset's archives as three Parquet tables of images, boxes and categories."""

import logging
from pathlib import Path

from pipeline.core.atomic_files import atomic_directory
from pipeline.core.config import load_params
from pipeline.datasets import registry
from pipeline.stages.runner import run_stage

logger = logging.getLogger(__name__)


def tables(dataset: str, download: Path, out: Path) -> None:
    """Read the archives in `download` and write the tables to `out`."""
    reader = registry.reader(load_params().dataset(dataset).module)
    published = reader.read(download)
    with atomic_directory(out) as folder:
        published.write(folder)
    logger.info("tabled %d images and %d boxes of %s", published.images.num_rows, published.boxes.num_rows, dataset)


if __name__ == "__main__":
    run_stage(tables)
