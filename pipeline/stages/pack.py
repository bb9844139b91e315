"""Stage `pack`: the validated images, decoded once and resized to the model inputs of a system."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.core import schema
from pipeline.core.atomic_files import resumable_directory
from pipeline.core.config import load_params, parse_config
from pipeline.core.parquet import read_table
from pipeline.packing.config import PackConfig
from pipeline.packing.packer import pack_images
from pipeline.stages.runner import run_stage


def pack(system: str, download: Path, images: Path, files: Path, out: Path) -> None:
    """Pack the images of a system's dataset. Unchanged images of the previous pack or an interrupted run are reused.

    Args:
        system: a key of `systems` in params.yaml.
        download: the folder with the archives.
        images: the table of the images.
        files: the table with the SHA-256 sums of the image files.
        out: the folder to write shards and index to.

    """
    config = parse_config(load_params().system(system).pack, PackConfig, f"systems.{system}.pack")
    image_rows, file_rows = read_table(images, schema.IMAGES), read_table(files, schema.FILES)
    # Threads suffice: Pillow and OpenCV release the interpreter lock while they decode and resize.
    with resumable_directory(out) as folder, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        pack_images(image_rows, file_rows, ArchiveFolder(download), config, out, folder, executor)


if __name__ == "__main__":
    run_stage(pack)
