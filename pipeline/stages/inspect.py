"""inspect: what the image files are: digest, size, orientation, a thumbnail, and what is wrong with them."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.compute as pc

from pipeline.archives.zip_archive import ArchiveFolder
from pipeline.core import schema
from pipeline.core.atomic_files import atomic_directory
from pipeline.core.parquet import FILES, read_table, write_table
from pipeline.stages.runner import run_stage
from pipeline.validation.inspection import inspect_images

logger = logging.getLogger(__name__)


def inspect(dataset: str, images: Path, download: Path, out: Path) -> None:
    """Read and decode every image of the table `images` from the archives in `download`; write the findings to `out`.

    An image that cannot be read is a finding and no error: whether it may stay is for `validate` to say.
    """
    table = read_table(images, schema.IMAGES)
    # Threads suffice: hashing, Pillow and OpenCV release the interpreter. More of them than cores only hold memory.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        files = inspect_images(table, ArchiveFolder(download), executor)
    with atomic_directory(out) as folder:
        write_table(folder / FILES, files, schema.FILES)
    faulty = pc.sum(pc.is_valid(files["problem"])).as_py() or 0
    logger.info("inspected %d images of %s, %d with a problem", files.num_rows, dataset, faulty)


if __name__ == "__main__":
    run_stage(inspect)
