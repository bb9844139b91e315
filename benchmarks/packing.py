"""Packing at 448 px: compared with decoding and resizing alone, with packing 1 % more images, and its memory.

`python -m benchmarks.packing COUNT FOLDER` packs that many images and prints the peak memory in MB.
"""

import hashlib
import io
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from benchmarks.photographs import Photograph, photographs
from benchmarks.timing import alternate, compared, peak_megabytes
from pipeline.archives.archive_folder import ArchiveFolder
from pipeline.archives.image_decoding import FORMATS
from pipeline.archives.zip_archive import write_archive
from pipeline.core import schema
from pipeline.core.atomic_files import resumable_directory
from pipeline.geometry.resize import letterbox
from pipeline.packing.config import PackConfig
from pipeline.packing.packer import pack_images

PACK = PackConfig(image_size=448, channels=3, resize="letterbox", shard_images=64)
IMAGES = 3000
MORE = 30
MEMORY_IMAGES = (1000, 4000)
THREADS = len(os.sched_getaffinity(0))


def packing_benchmarks() -> dict[str, dict[str, float]]:
    """The results by their names in benchmarks/results/speed.json."""
    # As in COCO, one number in five is the id of an image.
    numbers = np.random.default_rng(1).permutation(np.arange(1, 5 * IMAGES)).tolist()
    ids, evenly_spaced = numbers[:IMAGES], numbers[IMAGES : IMAGES + MORE]
    appended = range(5 * IMAGES, 5 * IMAGES + MORE)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = list(photographs([*ids, *evenly_spaced, *appended]))
        images, files = write_dataset(folder, made)

        # Each into a folder of its own: to remove the one of the round before would be no part of packing.
        outs = (folder / f"pack{number}" for number in itertools.count())
        full = [folder / "nothing"]

        def packed(image_ids: Iterable[int], previous: Path) -> Path:
            out = next(outs)
            pack(images.filter(pc.is_in(images["image_id"], pa.array(image_ids))), files, folder, previous, out)
            return out

        bare_times, full_times, appended_times, spread_times = alternate(
            lambda: decode_and_resize(made[:IMAGES]),
            lambda: full.append(packed(ids, full[0])),
            lambda: packed([*ids, *appended], full[-1]),
            lambda: packed([*ids, *evenly_spaced], full[-1]),
        )
    return {
        "448 px: bare decoding and resizing / packing": compared(bare_times, full_times) | peak_memory(),
        "448 px: packing all / 1 % more images, with the highest ids": compared(full_times, appended_times),
        "448 px: packing all / 1 % more images, spread over all ids": compared(full_times, spread_times),
    }


def write_dataset(folder: Path, made: Iterable[Photograph]) -> tuple[pa.Table, pa.Table]:
    """An archive, and the tables of its images and files as `validate` hands them on."""
    rows: list[dict[str, Any]] = []

    def members() -> Iterator[tuple[str, bytes]]:
        for photograph in made:
            name = f"{photograph.image_id:012d}.jpg"
            rows.append(
                {
                    "image_id": photograph.image_id,
                    "split": "train",
                    "file_name": name,
                    "width": photograph.width,
                    "height": photograph.height,
                    "archive": "images.zip",
                    "member": name,
                    "sha256": hashlib.sha256(photograph.content).hexdigest(),
                }
            )
            yield name, photograph.content

    write_archive(folder / "images.zip", members())
    return pa.Table.from_pylist(rows, schema.IMAGES), pa.Table.from_pylist(rows, schema.FILES)


def pack(images: pa.Table, files: pa.Table, archives: Path, previous: Path, out: Path) -> None:
    """Pack as the stage `pack` does."""
    with resumable_directory(out) as folder, ThreadPoolExecutor(THREADS) as executor:
        pack_images(images, files, ArchiveFolder(archives), PACK, previous, folder, executor)


def decode_and_resize(made: list[Photograph]) -> None:
    """With the same decoder and the same number of threads, from memory, and into nothing."""

    def one(photograph: Photograph) -> None:
        with Image.open(io.BytesIO(photograph.content), formats=FORMATS) as image:
            pixels = np.asarray(image)
        transform = letterbox(photograph.width, photograph.height, PACK.image_size)
        cv2.resize(pixels, (transform.scaled_width, transform.scaled_height), interpolation=cv2.INTER_AREA)

    def share(first: int) -> None:
        for photograph in made[first::THREADS]:
            one(photograph)

    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(share, range(THREADS)))


def peak_memory() -> dict[str, float]:
    """Peak memory in MB of packing few and many images, each in its own process."""
    peaks = {}
    for count in MEMORY_IMAGES:
        with tempfile.TemporaryDirectory() as temporary:
            words = [sys.executable, "-m", "benchmarks.packing", str(count), temporary]
            peaks[f"peak_mb_of_{count}_images"] = float(subprocess.check_output(words))
    return peaks


if __name__ == "__main__":
    count, target = int(sys.argv[1]), Path(sys.argv[2])
    tables = write_dataset(target, photographs(range(1, count + 1)))
    pack(*tables, target, target / "nothing", target / "pack")
    print(peak_megabytes())
