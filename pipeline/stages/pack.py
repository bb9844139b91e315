"""pack: the images that passed, decoded once and placed in the system's square input."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline import params
from pipeline.command import run_stage
from pipeline.datasets.packed import write_samples
from pipeline.datasets.tables import Tables
from pipeline.storage.archives import ArchiveFolder
from pipeline.storage.files import whole_folder
from pipeline.storage.packing import pack_images
from pipeline.storage.params import Pack


def pack(system: str, download: Path, validated: Path, out: Path, samples: Path) -> None:
    """Read the archives in `download`; write shards and placements of the images in `validated` to `out`.

    `samples` becomes a PNG: training images as the network sees them, with their boxes.
    """
    section = params.section(params.load().system(system).pack, Pack, f"systems.{system}.pack")
    tables = Tables.read(validated)
    # Threads suffice: Pillow and OpenCV release the interpreter while they decode and resize.
    with ArchiveFolder(download) as archives, ThreadPoolExecutor() as executor, whole_folder(out) as folder:
        pack_images(tables.images, archives, section, folder, executor)
        write_samples(samples, folder, tables)


if __name__ == "__main__":
    run_stage(pack, "system", ["download", "validated", "out", "samples"])
