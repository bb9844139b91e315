"""pack: the images that passed, decoded once and placed in the system's square input."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.archives.zip_archive import ArchiveFolder
from pipeline.core import schema
from pipeline.core.atomic_files import resumable_directory
from pipeline.core.config import load_params, parse_config
from pipeline.core.parquet import read_table
from pipeline.packing.config import PackConfig
from pipeline.packing.packer import pack_images
from pipeline.stages.runner import run_stage


def pack(system: str, download: Path, images: Path, files: Path, out: Path) -> None:
    """Pack the images of the table `images`, whose digests are in `files`, from the archives in `download` into `out`.

    What `out` or a run that was stopped packed before is taken over as far as it did not change.
    """
    section = parse_config(load_params().system(system).pack, PackConfig, f"systems.{system}.pack")
    rows, facts = read_table(images, schema.IMAGES), read_table(files, schema.FILES)
    # Threads suffice: Pillow and OpenCV release the interpreter while they decode and resize.
    with resumable_directory(out) as folder, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as executor:
        pack_images(rows, facts, ArchiveFolder(download), section, out, folder, executor)


if __name__ == "__main__":
    run_stage(pack)
