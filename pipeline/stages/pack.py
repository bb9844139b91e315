"""pack: the images that passed, decoded once and placed in the system's square input."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline import params
from pipeline.command import run_stage
from pipeline.datasets.tables import Tables
from pipeline.storage.archives import ArchiveFolder
from pipeline.storage.files import whole_folder
from pipeline.storage.packing import pack_images
from pipeline.storage.params import Pack


def pack(system: str, download: Path, validated: Path, out: Path) -> None:
    """Read the archives in `download` and write shards and placements of the images in `validated` to `out`."""
    section = params.section(params.load().system(system).pack, Pack, f"systems.{system}.pack")
    images = Tables.read(validated).images
    # Threads suffice: Pillow and OpenCV release the interpreter while they decode and resize.
    with ThreadPoolExecutor() as executor, whole_folder(out) as folder:
        pack_images(images, ArchiveFolder(download), section, folder, executor)


if __name__ == "__main__":
    run_stage(pack, "system", ["download", "validated", "out"])
