"""Stage `inspect`: checksum, size, orientation, thumbnail and problems of every image file."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.compute as pc

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.image_members import count_unused
from pipeline.core import schema
from pipeline.core.atomic_files import atomic_directory
from pipeline.core.formatting import pluralize
from pipeline.core.parquet import ARCHIVES, FILES, read_table, write_table
from pipeline.stages.runner import run_stage
from pipeline.validation.inspection import inspect_images

logger = logging.getLogger(__name__)


def inspect(dataset: str, images: Path, download: Path, out: Path) -> None:
    """Read and decode every image file.

    A file that cannot be read is recorded and is not an error: `validate` decides what happens to its image.

    Args:
        dataset: a key of `datasets` in params.yaml.
        images: the table of images.
        download: the folder of the archives.
        out: the folder to replace; it gets the tables schema.FILES and schema.ARCHIVES.

    """
    table, folder_of_archives = read_table(images, schema.IMAGES), ArchiveFolder(download)
    # Hashing, Pillow and OpenCV release the GIL, so threads are enough. More threads than cores only need more memory.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        files = inspect_images(table, folder_of_archives, executor)
    archives = count_unused(table, folder_of_archives)
    with atomic_directory(out) as folder:
        write_table(folder / FILES, files, schema.FILES)
        write_table(folder / ARCHIVES, archives, schema.ARCHIVES)
    num_problems = pc.sum(pc.is_valid(files["problem"])).as_py() or 0
    num_unused = pc.sum(archives["unused"]).as_py() or 0
    logger.info(
        "inspected %d images of %s, %d with a problem; %s in the archives without a row",
        files.num_rows,
        dataset,
        num_problems,
        pluralize(num_unused, "image file", "image files"),
    )


if __name__ == "__main__":
    run_stage(inspect)
